"""Recordings in, batches of log-mel features out, the same ones whatever was interrupted or how many workers help."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from datasets.distributed import split_dataset_by_node
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from .bad_files import Quiet
from .cached_features import CachedFeatures
from .decoded import DecodedFiles
from .decoding import load_window
from .lengths import measure, measure_one
from .recordings import as_recording
from .windows import Stretches, Windows


# Keeps the random numbers of gains apart from those of windows.
GAIN = 1
# How many windows in a row may be unreadable before the search for one ends, and how many too quiet.
ATTEMPTS, QUIET_ATTEMPTS = 100, 1000


class QuietWindow(ValueError):
    """A window is quieter than wanted."""


class Cropper:
    """
    Decodes windows of recordings.

    Args:
        feature_extractor ([`SSASTFeatureExtractor`]): Gives the sampling rate and the most that a window can hold.
        min_frames (`int`): Frames of one patch; shorter recordings are unusable.
        seed (`int`): Source of randomness.
        window_seconds (`float`, *optional*): Length of a window; as much as the feature extractor takes if not given.
        overlap_seconds (`float`, defaults to 0): Of a window with the next one.
        min_level (`float`, *optional*): The level that a window must have, in dB relative to full scale: 20 times the
            logarithm of its root mean square.
        decoded ([`DecodedFiles`], *optional*): Recordings that are better decoded as a whole.

    Raises:
        ValueError: If a window is longer than what the feature extractor takes, shorter than a patch, or not longer
            than its overlap.
    """

    def __init__(
        self,
        feature_extractor,
        min_frames: int,
        seed: int,
        window_seconds: float | None = None,
        overlap_seconds: float = 0.0,
        min_level: float | None = None,
        decoded: DecodedFiles | None = None,
    ):
        self.sampling_rate = feature_extractor.sampling_rate
        self.min_samples = feature_extractor.num_samples(min_frames)
        self.seed = seed
        self.min_level = min_level
        self.decoded = decoded
        longest = feature_extractor.num_samples(feature_extractor.max_length)
        length = longest if window_seconds is None else round(window_seconds * self.sampling_rate)
        if not self.min_samples <= length <= longest:
            raise ValueError(
                f"--window_seconds {window_seconds:g}: expected {self.min_samples / self.sampling_rate:g} s, one "
                f"patch, to {longest / self.sampling_rate:g} s, the {feature_extractor.max_length} frames that the "
                "model takes (see --max_length)."
            )
        overlap = round(overlap_seconds * self.sampling_rate)
        if not 0 <= overlap < length:
            raise ValueError(
                f"--window_overlap {overlap_seconds:g}: expected 0 to less than the {length / self.sampling_rate:g} s "
                "of a window."
            )
        self.windows = Windows(length, length - overlap, self.min_samples)

    def random(self, *key: int) -> np.random.Generator:
        """Random numbers that depend on the seed and the key alone."""
        return np.random.default_rng((self.seed, *key))

    def gain(self, jitter: float, *key: int) -> float:
        """A gain between minus and plus `jitter` dB, that depends on the seed and the key alone."""
        return float(self.random(*key, GAIN).uniform(-jitter, jitter)) if jitter else 0.0

    def crop(self, recording: dict, begin: int, end: int, known_samples: int = 0) -> np.ndarray:
        """
        Samples `begin` to `end` of a recording, (num_samples,).

        Raises:
            ValueError, OSError: If it is unusable; see [`load_window`].
            QuietWindow: If it is too quiet.
        """
        read = self.decoded.read if self.decoded is not None and recording["name"] in self.decoded else None
        audio = load_window(recording, self.sampling_rate, begin, end, self.min_samples, known_samples, read)
        if self.min_level is not None and (level := level_of(audio)) < self.min_level:
            raise QuietWindow(f"{level:.1f} dB, below --min_level {self.min_level:g}")
        return audio

    def silence(self) -> np.ndarray:
        """What stands in for a recording where all are unusable, until the main process has read about it."""
        return np.zeros(self.min_samples, dtype=np.float32)


def louder(audio: np.ndarray, gain: float) -> np.ndarray:
    """Samples (num_samples,) by `gain` dB louder."""
    return audio * np.float32(10 ** (gain / 20)) if gain else audio


def level_of(audio: np.ndarray) -> float:
    """Level of samples (num_samples,) in dB relative to full scale; at least -200."""
    return 20 * math.log10(max(float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))), 1e-10))


def named_window(recording: dict, number: int, count: int) -> str:
    """A window's name; the same one in all epochs, though it begins elsewhere in each."""
    return recording["name"] if count == 1 else f"{recording['name']}, window {number + 1} of {count}"


def check_not_all_quiet(skipped: list[tuple[str, str]]):
    """ValueError if the search for a window that is loud enough took too long."""
    quiet = [reason for _, reason in skipped if isinstance(reason, Quiet)]
    if len(quiet) >= QUIET_ATTEMPTS:
        loudest = max(quiet, key=lambda reason: float(reason.split()[0]))
        raise ValueError(
            f"{len(quiet)} windows in a row are too quiet; the loudest has {loudest}. Lower it, or leave out what is "
            "silent."
        )


class AudioDataset(Dataset):
    """
    The windows of recordings by index: of each stretch all windows, one stretch after the other. An item is
    `{"audio": (num_samples,), "skipped": [(name, reason), ...]}`, with a cache `features` (num_frames, num_mel_bins)
    in the place of `audio`; an unusable window is replaced by another one, and so is one that is too quiet, whose
    reason is a [`Quiet`].

    Args:
        recordings (`Dataset`): As from [`load_recordings`].
        cropper ([`Cropper`]): Decodes them.
        stretches ([`Stretches`], *optional*): Which parts of them; all of each if not given.
        cache ([`CachedFeatures`], *optional*): Has the features of all recordings, which are not decoded then.
        gain_jitter (`float`, defaults to 0): By how many dB a window is made louder or quieter, at most; how much is
            drawn anew in each epoch.
    """

    def __init__(
        self,
        recordings,
        cropper: Cropper,
        stretches: Stretches | None = None,
        cache: CachedFeatures | None = None,
        gain_jitter: float = 0.0,
    ):
        self.recordings = recordings
        self.cropper = cropper
        self.cache = cache
        self.gain_jitter = gain_jitter
        if stretches is None:
            stretches = Stretches.whole(measure(recordings, cropper.sampling_rate).samples)
        self.stretches = stretches
        self.counts = cropper.windows.count(stretches.samples)
        self.ends = np.cumsum(self.counts)
        self.weights: np.ndarray | None = None  # of each window

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def weigh(self, weights: np.ndarray):
        """
        Have windows drawn by weights, (number of recordings,).

        Raises:
            ValueError: If all windows have the weight 0.
        """
        self.weights = np.repeat(weights[self.stretches.recordings], self.counts)
        if not self.weights.any():
            raise ValueError("All recordings to train on have the weight 0 (--weight_column).")

    @property
    def seconds(self) -> float:
        """How long the stretches are together."""
        return float(self.stretches.samples.sum()) / self.cropper.sampling_rate

    def name_of(self, index: int) -> str:
        """What the item of an index is called."""
        return named_window(*self.find(0, index)[:3])

    def __getitem__(self, item: int | tuple[int, int]) -> dict:
        """Item by index, or by (epoch, index): each epoch cuts elsewhere."""
        epoch, index = item if isinstance(item, tuple) else (0, item)
        random = self.cropper.random(epoch, index)
        skipped: list[tuple[str, str]] = []
        num_bad = 0
        while num_bad < ATTEMPTS:
            check_not_all_quiet(skipped)
            recording, number, count, window = self.find(epoch, index)
            try:
                return self.read(recording, *window, self.cropper.gain(self.gain_jitter, epoch, index)) | {
                    "skipped": skipped
                }
            except QuietWindow as error:
                skipped.append((named_window(recording, number, count), Quiet(error)))
            except (ValueError, OSError) as error:
                num_bad += 1
                skipped.append((recording["name"], str(error)))
            index = int(random.integers(len(self)))
        audio = self.cropper.silence()
        return ({"audio": audio} if self.cache is None else {"features": self.cache.features(audio)}) | {
            "skipped": skipped
        }

    def read(self, recording: dict, begin: int, end: int, length: int, gain: float) -> dict:
        """A window, made louder by `gain` dB; raises as [`Cropper.crop`] does."""
        if self.cache is not None:
            return {"features": self.cache.window(recording["name"], begin, end, self.cropper.min_samples, gain)}
        return {"audio": louder(self.cropper.crop(recording, begin, end, length), gain)}

    def find(self, epoch: int, index: int) -> tuple[dict, int, int, tuple[int, int, int]]:
        """
        Where a window is: its recording, its number, of how many of this stretch, and its begin, its end and the
        recording's length in samples, arguments of [`Cropper.crop`].
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{index} is no index of {len(self)} windows.")
        stretch = int(np.searchsorted(self.ends, index, side="right"))
        count = int(self.counts[stretch])
        number = index - int(self.ends[stretch]) + count
        parts = self.stretches
        place, start, samples, length = (
            int(values[stretch]) for values in (parts.recordings, parts.begins, parts.samples, parts.lengths)
        )
        begin, end = self.cropper.windows.place(samples, number, self.cropper.random(epoch, place).random())
        if count == 1 and samples == length:
            length = 0  # whatever there is of a short recording
        else:
            end = min(end, samples)
        return self.recordings[place], number, count, (start + begin, start + end, length)


class AudioStream(IterableDataset):
    """
    Windows of recordings as they come, without end: after the last recording the next epoch begins. Items are those of
    [`AudioDataset`]. Each process and each worker reads pieces of its own.

    Args:
        recordings (`datasets.IterableDataset`): As from [`load_recordings`] with `streaming=True`.
        cropper ([`Cropper`]): Decodes them.
        buffer_size (`int`): Windows to shuffle among; their recordings are kept, still encoded.
        rank, world_size (`int`): Which process this is, of how many.
        gain_jitter (`float`, defaults to 0): As in [`AudioDataset`].
    """

    def __init__(
        self,
        recordings,
        cropper: Cropper,
        buffer_size: int,
        rank: int = 0,
        world_size: int = 1,
        gain_jitter: float = 0.0,
    ):
        self.recordings = recordings
        self.cropper = cropper
        self.buffer_size = buffer_size
        self.rank = rank
        self.world_size = world_size
        self.gain_jitter = gain_jitter

    def rows(self, epoch: int):
        """The rows of this process in the order of an epoch; a worker reads some of them."""
        rows = self.recordings
        if self.buffer_size > 1:
            # The order of files; windows are shuffled later. Not by `set_epoch`, which reaches the other workers, too:
            # each is at an epoch of its own.
            rows = rows.shuffle(generator=self.cropper.random(epoch), buffer_size=1)
        return split_dataset_by_node(rows, self.rank, self.world_size)

    def find(self, epoch: int, worker: int) -> Iterator[tuple[dict, int, int, tuple[int, int, int]]]:
        """Where the windows of an epoch are, as from [`AudioDataset.find`]: of each recording all, in their order."""
        windows = self.cropper.windows
        for row_number, row in enumerate(self.rows(epoch), start=1):
            recording = as_recording(row, f"process {self.rank}, worker {worker}", row_number)
            samples, _ = measure_one(recording, self.cropper.sampling_rate)
            count = int(windows.count(np.int64(samples)))
            position = self.cropper.random(epoch, self.rank, worker, row_number).random()
            for number in range(count):
                begin, end = windows.place(samples, number, position)
                yield recording, number, count, (begin, end, samples if count > 1 else 0)

    def __iter__(self) -> Iterator[dict]:
        worker = get_worker_info()
        number = 0 if worker is None else worker.id
        skipped: list[tuple[str, str]] = []
        epoch, is_empty = 0, False
        while not is_empty:  # a worker with no piece of its own ends at once
            is_empty = True
            random = self.cropper.random(epoch, self.rank, number)
            windows = shuffled(self.find(epoch, number), self.buffer_size, random)
            for drawn, (recording, place, count, window) in enumerate(windows):
                is_empty = False
                if recording.get("is_bad"):
                    continue  # told once, not once per window
                try:
                    gain = self.cropper.gain(self.gain_jitter, epoch, self.rank, number, drawn)
                    audio = louder(self.cropper.crop(recording, *window), gain)
                except QuietWindow as error:
                    skipped.append((named_window(recording, place, count), Quiet(error)))
                    check_not_all_quiet(skipped)
                    continue
                except (ValueError, OSError) as error:
                    recording["is_bad"] = True
                    skipped.append((recording["name"], str(error)))
                    if sum(not isinstance(reason, Quiet) for _, reason in skipped) < ATTEMPTS:
                        continue
                    audio = self.cropper.silence()
                yield {"audio": audio, "skipped": skipped}
                skipped = []
            epoch += 1


def shuffled(items: Iterable, buffer_size: int, random: np.random.Generator) -> Iterator:
    """Items in another order, each drawn from `buffer_size` of them."""
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) >= max(buffer_size, 1):
            index = int(random.integers(len(buffer)))
            buffer[index], buffer[-1] = buffer[-1], buffer[index]
            yield buffer.pop()
    while buffer:
        index = int(random.integers(len(buffer)))
        buffer[index], buffer[-1] = buffer[-1], buffer[index]
        yield buffer.pop()


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
