"""What a model says of recordings that it was not trained on."""

from typing import NamedTuple

import numpy as np

from ...audio.cropping import Cropper
from ...audio.labelled import LabelledData
from .clips import NONE, LabelledClips, WholeLabels
from .trials import Trials, cosines


class Tested(NamedTuple):
    """What a test has found, a row per recording; where they differ in length, lists of arrays."""

    scores: np.ndarray | list[np.ndarray]
    targets: np.ndarray | list[np.ndarray]
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
    """The clips of each recording one after the other, (steps, classes) each."""
    is_known = targets[:, :, 0] != NONE
    clips = [np.flatnonzero(places == i) for i in range(count)]
    return tuple([values[chosen][is_known[chosen]] for chosen in clips] for values in (scores, targets))


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
