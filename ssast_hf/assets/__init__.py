"""What comes with the package besides code: recordings, a very small model, licences, the template of model cards."""

import csv
from pathlib import Path


FOLDER = Path(__file__).parent


def bundled_clips() -> list[Path]:
    """Paths of the eight short recordings in the package; `assets/clips/README.md` has sources and licences."""
    folder = FOLDER / "clips"
    return sorted(path for path in folder.iterdir() if path.suffix in (".flac", ".wav"))


def titled_clips() -> dict[str, Path]:
    """The same by what is heard in them, such as `dog`, for people."""
    return {row["label"].replace("_", " "): FOLDER / "clips" / row["filename"] for row in clip_records()}


def clip_credits() -> dict[str, str]:
    """Who made each of them, and under which licence, by their file names."""
    return {
        row["filename"]: f"{row['title']}, {row['author']}, {row['licence']}, {row['source']}"
        for row in clip_records()
    }


def clip_records() -> list[dict[str, str]]:
    """What is known of the recordings, in the order of their file names."""
    with (FOLDER / "clips" / "fixtures.csv").open(encoding="utf-8", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["filename"])


def nano_model() -> Path:
    """Folder of the very small pretrained model in the package; its `README.md` says what it is made of."""
    return FOLDER / "nano"


def named_model(name_or_path: str) -> str:
    """What is meant by the name of a model: `nano` is the bundled one, unless there is a folder called so."""
    return str(nano_model()) if name_or_path == "nano" and not Path(name_or_path).exists() else name_or_path
