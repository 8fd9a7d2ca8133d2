"""What a model says of recordings that it was not trained on."""

from typing import NamedTuple

import numpy as np

from ...audio.cropping import Cropper
from ...audio.labelled import LabelledData
from .clips import NONE, LabelledClips, WholeLabels
from .trials import Trials, cosines


class Tested(NamedTuple):
    """What a test has found, a row per recording."""

    scores: np.ndarray
    targets: np.ndarray
    data: LabelledData


def test_recordings(trainer, clips: LabelledClips, data: LabelledData) -> Tested:
    """
    Let a model say what it says of each recording.

    Args:
        trainer ([`FinetuningTrainer`]): Whose model.
        clips ([`LabelledClips`]): Of one or several clips per recording.
        data ([`LabelledData`]): The recordings.
    """
    said = trainer.predict(clips, metric_key_prefix="test")
    scores, targets = said.predictions, said.label_ids
    if scores.ndim == 3:  # in time
        places = np.array([place for place, _ in clips.places])
        scores, targets = joined(scores, targets, places, len(data))
    return Tested(scores, targets, data)


def joined(scores: np.ndarray, targets: np.ndarray, places: np.ndarray, count: int):
    """The clips of each recording one after the other, (recordings, steps, classes), -100 where there is nothing."""
    is_known = targets[:, :, 0] != NONE
    steps = [int(is_known[places == i].sum()) for i in range(count)]
    whole = np.full((2, count, max([*steps, 1]), scores.shape[2]), float(NONE), dtype=np.float32)
    for i in range(count):
        for part, values in zip(whole, (scores, targets), strict=True):
            part[i, : steps[i]] = values[places == i][is_known[places == i]]
    return whole[0], whole[1]


def test_pairs(trainer, trials: Trials, cropper: Cropper) -> np.ndarray:
    """How alike the recordings of each pair are to a model of speakers, (num_pairs,)."""
    nobody = np.full(len(trials.recordings), NONE)
    clips = LabelledClips(trials.recordings, cropper, WholeLabels(nobody), is_training=False)
    measured, trainer.compute_metrics, trainer.returned = trainer.compute_metrics, None, "embeddings"
    try:
        embeddings = trainer.predict(clips, metric_key_prefix="test").predictions
    finally:
        trainer.compute_metrics, trainer.returned = measured, "logits"
    return cosines(trials, embeddings)
