"""The fine-tuning command in the tests: a table of labels, a short run, and what comes of it."""

import json

from command import as_line


def table(sounds, columns: str, rows) -> str:
    """A table of the sounds; `rows` makes what stands behind each path, of its number."""
    files = sorted(sounds.rglob("*.wav"))
    lines = [f"{path.relative_to(sounds.parent)},{rows(i)}" for i, path in enumerate(files)]
    (sounds.parent / "sounds.csv").write_text("\n".join([f"path,{columns}", *lines]) + "\n")
    return str(sounds.parent / "sounds.csv")


def options(model_dir, data, output_dir, **changes) -> list[str]:
    values = {
        "model_name_or_path": model_dir,
        "train_data": data,
        "output_dir": output_dir,
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "dataloader_num_workers": 0,
        "report_to": "none",
        "use_cpu": True,
    } | changes
    return as_line("finetune", values)


def results_in(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())
