"""Recordings in, windows out, the same ones whatever was interrupted or how many workers help."""

from collections.abc import Iterable, Iterator

import numpy as np
from datasets.distributed import split_dataset_by_node
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from .bad_files import Quiet
from .cached_features import CachedFeatures
from .cropping import ATTEMPTS, Cropper, QuietWindow, check_not_all_quiet, louder, named_window
from .lengths import measure, measure_one
from .recordings import as_recording
from .windows import Stretches


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
        weights (`np.ndarray`, *optional*): How often the windows of each recording are drawn, (number of recordings,).
    """

    def __init__(
        self,
        recordings,
        cropper: Cropper,
        stretches: Stretches | None = None,
        cache: CachedFeatures | None = None,
        gain_jitter: float = 0.0,
        weights: np.ndarray | None = None,
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
        self.weights = None if weights is None else np.repeat(weights[stretches.recordings], self.counts)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

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
                content = self.read(recording, *window, self.cropper.gain(self.gain_jitter, epoch, index))
                return content | {"skipped": skipped}
            except QuietWindow as error:
                skipped.append((named_window(recording, number, count), Quiet(error)))
            except (ValueError, OSError) as error:
                num_bad += 1
                skipped.append((recording["name"], str(error)))
            index = int(random.integers(len(self)))
        audio = self.cropper.silence()
        content = {"audio": audio} if self.cache is None else {"features": self.cache.features(audio)}
        return content | {"skipped": skipped}

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
