"""
An SSAST model in mteb 2 (the package behind the MTEB and MAEB leaderboards), on labelled clips of one's own.

    pip install "ssast_hf[train]" "mteb>=2"
    python examples/mteb_evaluation.py ssast-base-patch-400 clips/
    python examples/mteb_evaluation.py ssast-base-patch-400 clips.csv --label_column category

CLIPS is a folder with a sub-folder for each class, or a CSV with a column `path`, relative to the CSV, and one of
labels. The figures are those of mteb's own classification tasks: a logistic regression on the embeddings of a few
clips per class, in five-fold cross-validation. Nothing is downloaded.

`SSASTEncoder` also serves the audio tasks that mteb has, which need torchcodec for what they download:
`mteb.evaluate(SSASTEncoder(model), mteb.get_tasks(tasks=["ESC50"]))`.
"""

import argparse
import csv
from pathlib import Path

import mteb
import numpy as np
from datasets import Audio, Dataset, DatasetDict
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder

from ssast_hf import Embedder


class SSASTEncoder(AbsEncoder):
    """
    What mteb calls an encoder.

    Args:
        model_name (`str`): A folder of an SSAST model, or its name on the Hub.
        revision (`str`, *optional*): Without effect; mteb passes one.
        device (`str`, *optional*): As of [`Embedder`], like all other options.
    """

    def __init__(self, model_name: str, revision: str | None = None, device: str | None = None, **options):
        self.model = Embedder(model_name, device=device, **options)
        name = f"ssast_hf/{Path(model_name).name}"
        self.mteb_model_meta = ModelMeta.create_empty({"name": name, "revision": revision, "modalities": ["audio"]})

    def encode(self, inputs, **kwargs) -> np.ndarray:
        """Batches of a data loader, clips in their column `audio` -> float32 `(num_clips, width)`."""
        return np.concatenate([self.model(batch["audio"]) for batch in inputs])


class LabelledClips(AbsTaskClassification):
    """A classification task of files on this machine."""

    metadata = TaskMetadata(
        name="LabelledClips",
        description="Clips on this machine, by their labels.",
        dataset={"path": "local", "revision": "1"},
        type="AudioClassification",
        category="a2c",
        modalities=["audio"],
        eval_splits=["train"],
        eval_langs=["zxx-Zxxx"],
        main_score="accuracy",
    )
    input_column_name = "audio"
    is_cross_validation = True

    def __init__(self, paths: list[Path], labels: list[str]):
        super().__init__()
        names = sorted(set(labels))
        columns = {"audio": list(map(str, paths)), "label": [names.index(label) for label in labels]}
        # Files are read by the embedder, a batch at a time.
        clips = Dataset.from_dict(columns).cast_column("audio", Audio(decode=False))
        self.dataset = DatasetDict({"train": clips})
        self.data_loaded = True

    def load_data(self, **kwargs):
        """It is there already."""


def read_labels(source: Path, label_column: str) -> tuple[list[Path], list[str]]:
    """Paths and labels of a folder of folders or of a CSV."""
    if source.is_dir():
        paths = sorted(path for path in source.glob("*/*") if path.is_file())
        return paths, [path.parent.name for path in paths]
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [source.parent / row["path"] for row in rows], [row[label_column] for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("model", help="a folder, or a name on the Hub")
    parser.add_argument("clips", type=Path, help="a folder of folders, or a CSV")
    parser.add_argument("--label_column", default="label")
    parser.add_argument("--layer", type=int, default=-1)
    arguments = parser.parse_args()
    paths, labels = read_labels(arguments.clips, arguments.label_column)
    encoder = SSASTEncoder(arguments.model, layer=arguments.layer)
    results = mteb.evaluate(
        encoder, LabelledClips(paths, labels), cache=None, co2_tracker=False, encode_kwargs={"batch_size": 256}
    )
    (scores,) = results.task_results[0].scores["train"]
    print(
        f"{len(paths)} clips of {len(set(labels))} classes: accuracy {scores['accuracy']:.3f}, F1 {scores['f1']:.3f}"
    )


if __name__ == "__main__":
    main()
