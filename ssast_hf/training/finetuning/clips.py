"""Labelled recordings as items and batches, the same ones whatever was interrupted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ...audio.batches import Collator
from ...audio.cropping import ATTEMPTS, Cropper
from ...audio.labelled import LabelledData
from ...audio.lengths import measure


# What there is instead of a label where there is none.
NONE = -100


@dataclass(frozen=True)
class WholeLabels:
    """
    Labels that are the same wherever a clip begins. Not a function of a function, which workers could not be given.

    Args:
        labels: One of each recording.
    """

    labels: Sequence | np.ndarray

    def __call__(self, index: int, begin: float, num_samples: int) -> np.ndarray:
        return self.labels[index]


class LabelledClips(Dataset):
    """
    One clip of each recording with its label: all of it, or of a longer one than the model takes a part, a random one
    in training and else the middle. An item is `{"audio": (num_samples,), "labels": array, "skipped": [(name, reason),
    ...]}`; in training an unusable recording is replaced by another one. Else there is silence in its place, which is
    not for use: `skipped` says so.

    Args:
        data ([`LabelledData`]): Recordings.
        cropper ([`Cropper`]): Decodes them.
        label (`Callable`): From the index of a recording, the second in it where the clip begins, and the number of
            samples of the clip to its label.
        is_training (`bool`): Whether it is trained on.
        hop (`int`, *optional*): Samples from one clip to the next, if all of a recording is wanted otherwise: then it
            is several clips.
    """

    def __init__(
        self,
        data: LabelledData,
        cropper: Cropper,
        label: Callable[[int, float, int], np.ndarray],
        is_training: bool,
        hop: int | None = None,
    ):
        self.data, self.cropper, self.label, self.is_training = data, cropper, label, is_training
        self.samples = measure(data.recordings, cropper.sampling_rate).samples
        length = cropper.windows.length
        if is_training or hop is None:
            self.places = [(i, max(int(count) - length, 0) // 2) for i, count in enumerate(self.samples)]
        else:
            last = np.maximum(self.samples - cropper.min_samples, 0)
            self.places = [(i, begin) for i, end in enumerate(last) for begin in range(0, int(end) + 1, hop)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, item: int | tuple[int, int]) -> dict:
        """Item by index, or by (epoch, index): each epoch cuts elsewhere."""
        epoch, index = item if isinstance(item, tuple) else (0, item)
        random = self.cropper.random(epoch, index)
        skipped: list[tuple[str, str]] = []
        while True:
            place, begin = self.places[index]
            if self.is_training:
                begin = int(random.integers(max(int(self.samples[place]) - self.cropper.windows.length, 0) + 1))
            recording = self.data.recordings[place]
            try:
                audio = self.cropper.crop(recording, begin, begin + self.cropper.windows.length)
            except (ValueError, OSError) as error:
                skipped.append((recording["name"], str(error)))
                if self.is_training and len(skipped) < ATTEMPTS:
                    index = int(random.integers(len(self)))
                    continue
                audio = self.cropper.silence()
            label = self.label(place, begin / self.cropper.sampling_rate, len(audio))
            return {"audio": audio, "labels": label, "skipped": skipped}


class LabelledCollator:
    """
    Turns items into a batch: what [`Collator`] makes of audio, and `labels`. Those of different lengths are padded by
    -100. Clips are padded to the longest under an attention mask, else to what the model takes; `is_audio` (B, frames)
    is then in the place of the mask, to change batches by and not for the model.

    Args:
        feature_extractor ([`SSASTFeatureExtractor`]): Makes the features; says whether there is a mask.
        on_device (`bool`): As in [`Collator`].
        steps (`Callable`, *optional*): From the frames of a batch to the time steps of the model, where labels have
            one each.
    """

    def __init__(self, feature_extractor, on_device: bool, steps: Callable[[int], int] | None = None):
        self.has_mask = feature_extractor.return_attention_mask
        self.max_length = feature_extractor.max_length
        self.collate = Collator(feature_extractor, on_device, padding="longest" if self.has_mask else "max_length")
        self.steps = steps

    def __call__(self, items: list[dict]) -> dict:
        batch = self.collate(items)
        if not self.has_mask and "attention_mask" in batch:
            batch["is_audio"] = batch.pop("attention_mask")
        labels = [torch.from_numpy(np.asarray(item["labels"])) for item in items]
        if labels[0].ndim:
            length = max(map(len, labels))
            if self.steps is not None:
                length = self.steps(batch["input_values"].shape[1] if "input_values" in batch else self.max_length)
            padded = torch.full((len(labels), length, *labels[0].shape[1:]), float(NONE), dtype=labels[0].dtype)
            for row, label in zip(padded, labels, strict=True):
                row[: len(label)] = label[:length]
            return batch | {"labels": padded}
        return batch | {"labels": torch.stack(labels)}


class BalancedSampler(Sampler):
    """
    (epoch, index) of as many clips as there are, drawn with replacement, those of rare classes more often; the same
    ones in all processes and after an interruption.

    Args:
        weights (`np.ndarray`): How often each clip is drawn, relative to the others.
        seed (`int`): Source of randomness.
    """

    def __init__(self, weights: np.ndarray, seed: int):
        self.shares = weights / weights.sum()
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.shares)

    def __iter__(self):
        drawn = np.random.default_rng((self.seed, self.epoch)).choice(len(self), size=len(self), p=self.shares)
        return ((self.epoch, int(index)) for index in drawn)


def class_weights(data: LabelledData) -> np.ndarray:
    """The sum of one by the number of clips of its class, over the classes of each recording; float64."""
    several = data.labels if data.is_multilabel else [[label] for label in data.labels]
    counts: dict[str, int] = {}
    for labels in several:
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    rarest = min(1 / count for count in counts.values())  # of a clip without any class
    return np.array([sum(1 / counts[label] for label in labels) or rarest for labels in several])
