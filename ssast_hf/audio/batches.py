"""Recordings in, batches of log-mel features out, the same ones whatever was interrupted or how many workers help."""

from collections.abc import Iterator

import numpy as np
from datasets.distributed import split_dataset_by_node
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from .decoding import load_crop
from .recordings import as_recording


# How many recordings in a row may be unreadable before their search ends.
ATTEMPTS = 100


class Cropper:
    """
    Decodes recordings into crops of at most the feature extractor's `max_length` frames.

    Args:
        feature_extractor ([`SSASTFeatureExtractor`]): Gives the sampling rate and the length.
        min_frames (`int`): Frames of one patch; shorter recordings are unusable.
        seed (`int`): Source of randomness.
    """

    def __init__(self, feature_extractor, min_frames: int, seed: int):
        self.sampling_rate = feature_extractor.sampling_rate
        self.max_samples = feature_extractor.num_samples(feature_extractor.max_length)
        self.min_samples = feature_extractor.num_samples(min_frames)
        self.seed = seed

    def random(self, *key: int) -> np.random.Generator:
        """Random numbers that depend on the seed and the key alone."""
        return np.random.default_rng((self.seed, *key))

    def crop(self, recording: dict, position: float) -> np.ndarray:
        """Part of a recording, (num_samples,); ValueError or OSError if it is unusable."""
        return load_crop(recording, self.sampling_rate, self.max_samples, self.min_samples, position)

    def silence(self) -> np.ndarray:
        """What stands in for a recording where all are unusable, until the main process has read about it."""
        return np.zeros(self.min_samples, dtype=np.float32)


class AudioDataset(Dataset):
    """
    Recordings by index. An item is `{"audio": (num_samples,), "skipped": [(name, reason), ...]}`; an unusable
    recording is replaced by another one.

    Args:
        recordings (`Dataset`): As from [`load_recordings`].
        cropper ([`Cropper`]): Decodes them.
    """

    def __init__(self, recordings, cropper: Cropper):
        self.recordings = recordings
        self.cropper = cropper

    def __len__(self) -> int:
        return len(self.recordings)

    def name_of(self, index: int) -> str:
        """What the item of an index is called."""
        return self.recordings[index]["name"]

    def __getitem__(self, item: int | tuple[int, int]) -> dict:
        """Item by index, or by (epoch, index): each epoch crops elsewhere."""
        epoch, index = item if isinstance(item, tuple) else (0, item)
        random = self.cropper.random(epoch, index)
        skipped: list[tuple[str, str]] = []
        for _ in range(ATTEMPTS):
            recording = self.recordings[index]
            try:
                return {"audio": self.cropper.crop(recording, random.random()), "skipped": skipped}
            except (ValueError, OSError) as error:
                skipped.append((recording["name"], str(error)))
                index = int(random.integers(len(self.recordings)))
        return {"audio": self.cropper.silence(), "skipped": skipped}


class AudioStream(IterableDataset):
    """
    Recordings as they come, without end: after the last one the next epoch begins. Items are those of
    [`AudioDataset`]. Each process and each worker reads pieces of its own.

    Args:
        recordings (`datasets.IterableDataset`): As from [`load_recordings`] with `streaming=True`.
        cropper ([`Cropper`]): Decodes them.
        buffer_size (`int`): Recordings to shuffle among, still encoded.
        rank, world_size (`int`): Which process this is, of how many.
    """

    def __init__(self, recordings, cropper: Cropper, buffer_size: int, rank: int = 0, world_size: int = 1):
        self.recordings = recordings
        self.cropper = cropper
        self.buffer_size = buffer_size
        self.rank = rank
        self.world_size = world_size

    def rows(self, epoch: int):
        """The rows of this process in the order of an epoch; a worker reads some of them."""
        rows = self.recordings
        if self.buffer_size > 1:
            # Not by `set_epoch`, which reaches the other workers, too: each is at an epoch of its own.
            rows = rows.shuffle(generator=self.cropper.random(epoch), buffer_size=self.buffer_size)
        return split_dataset_by_node(rows, self.rank, self.world_size)

    def __iter__(self) -> Iterator[dict]:
        worker = get_worker_info()
        number = 0 if worker is None else worker.id
        skipped = []
        epoch, count = 0, 1
        while count:  # a worker with no piece of its own ends at once
            count = 0
            for row in self.rows(epoch):
                count += 1
                recording = as_recording(row, f"process {self.rank}, worker {number}", count)
                random = self.cropper.random(epoch, self.rank, number, count)
                try:
                    audio = self.cropper.crop(recording, random.random())
                except (ValueError, OSError) as error:
                    skipped.append((recording["name"], str(error)))
                    if len(skipped) < ATTEMPTS:
                        continue
                    audio = self.cropper.silence()
                yield {"audio": audio, "skipped": skipped}
                skipped = []
            epoch += 1


class EpochSampler(Sampler):
    """
    (epoch, index) of every recording in an order of the epoch's own, equal in all processes and after an interruption.

    Args:
        length (`int`): Number of recordings.
        seed (`int`): Source of randomness.
    """

    def __init__(self, length: int, seed: int):
        self.length = length
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        return ((self.epoch, int(index)) for index in order)


class Collator:
    """
    Turns items into a batch: `input_values` (B, frames, mels), `attention_mask` (B, frames) unless no clip is padded,
    and `skipped`, the unusable recordings met on the way.

    Args:
        feature_extractor ([`SSASTFeatureExtractor`]): Makes the features.
    """

    def __init__(self, feature_extractor):
        self.feature_extractor = feature_extractor

    def __call__(self, items: list[dict]) -> dict:
        features = self.feature_extractor(
            [item["audio"] for item in items],
            sampling_rate=self.feature_extractor.sampling_rate,
            return_attention_mask=True,
            return_tensors="pt",
        )
        batch = dict(features, skipped=[skip for item in items for skip in item["skipped"]])
        if batch["attention_mask"].all():
            del batch["attention_mask"]  # attention without a mask is faster
        return batch
