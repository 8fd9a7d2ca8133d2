"""Windows in, batches of log-mel features out."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler


class EpochSampler(Sampler):
    """
    (epoch, index) of windows in an order of the epoch's own, equal in all processes and after an interruption.

    Args:
        length (`int`): Number of windows, and of draws in an epoch.
        seed (`int`): Source of randomness.
        weights (`np.ndarray`, *optional*): How often each window is drawn, (length,), relative to the others: in an
            epoch as often as its share says, rounded up or down at random. Without weights, or with equal ones, once.
    """

    def __init__(self, length: int, seed: int, weights: np.ndarray | None = None):
        self.length = length
        self.seed = seed
        self.weights = weights
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(self.length)
        if self.weights is not None:
            # Points at equal distances on a line on which each window is as long as its weight. The windows lie there
            # in an order of the epoch's own, so that neighbours do not share what rounding gives and takes.
            ends = np.cumsum(self.weights[order], dtype=np.float64)
            points = (np.arange(self.length) + random.random()) * (ends[-1] / self.length)
            drawn = order[np.searchsorted(ends, points, side="right").clip(max=self.length - 1)]
            order = random.permutation(drawn)
        return ((self.epoch, int(index)) for index in order)


class Collator:
    """
    Turns items into a batch: `input_values` (B, frames, mels), `attention_mask` (B, frames) unless no clip is padded,
    and `skipped`, the unusable recordings and windows met on the way.

    Args:
        feature_extractor ([`SSASTFeatureExtractor`]): Makes the features.
        on_device (`bool`, defaults to `False`): Whether they are made later, by [`with_features`]. A batch then has
            `waveforms` (B, samples) and `num_samples` (B,) in the place of `input_values`.
        padding (`"max_length"` or `"longest"`, *optional*): To how many frames the features made here are padded; as
            the feature extractor does by itself if not given.
    """

    def __init__(self, feature_extractor, on_device: bool = False, padding: str | None = None):
        self.feature_extractor = feature_extractor
        self.on_device = on_device
        self.padding = padding

    def __call__(self, items: list[dict]) -> dict:
        if "features" in items[0]:
            batch = self.cached(items)
        else:
            clips = [item["audio"] for item in items]
            batch = self.waveforms(clips) if self.on_device else self.features(clips)
        batch["skipped"] = [skip for item in items for skip in item["skipped"]]
        if batch["attention_mask"].all():
            del batch["attention_mask"]  # attention without a mask is faster
        return batch

    def features(self, clips: list[np.ndarray]) -> dict:
        return dict(
            self.feature_extractor(
                clips,
                sampling_rate=self.feature_extractor.sampling_rate,
                padding=self.padding,
                return_attention_mask=True,
                return_tensors="pt",
            )
        )

    def cached(self, items: list[dict]) -> dict:
        """Of features from a cache: padded, then normalised, as the feature extractor does."""
        extractor = self.feature_extractor
        shape = (len(items), extractor.max_length, extractor.num_mel_bins)
        values = torch.full(shape, extractor.padding_value, dtype=torch.float32)
        is_audio = torch.zeros(shape[:2], dtype=torch.long)
        for row, mask, item in zip(values, is_audio, items, strict=True):
            count = min(len(item["features"]), len(row))
            row[:count] = torch.from_numpy(item["features"][:count])
            mask[:count] = 1
        if extractor.do_normalize:
            values.sub_(extractor.mean).div_(2 * extractor.std)
        return {"input_values": values, "attention_mask": is_audio}

    def waveforms(self, clips: list[np.ndarray]) -> dict:
        """All of one length, so that the device sees the same shapes again and again."""
        num_frames = self.feature_extractor.max_length
        waveforms = torch.zeros(len(clips), self.feature_extractor.num_samples(num_frames))
        for waveform, clip in zip(waveforms, clips, strict=True):
            waveform[: len(clip)] = torch.from_numpy(clip)
        lengths = torch.tensor([len(clip) for clip in clips])
        is_audio = torch.arange(num_frames) < self.feature_extractor.num_frames(lengths).unsqueeze(1)
        return {"waveforms": waveforms, "num_samples": lengths, "attention_mask": is_audio.long()}


def with_features(batch: dict, feature_extractor) -> dict:
    """A batch of [`Collator`] with its features, which are made on its device if they were not before."""
    if "waveforms" not in batch:
        return batch
    batch = dict(batch)
    input_values = feature_extractor.extract(batch.pop("waveforms"), batch.pop("num_samples"))
    return batch | {"input_values": input_values}
