"""Recordings that cannot be entered in the middle, decoded once as a whole and kept on disk during a run."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
from filelock import FileLock

from ..storage.guards import NoRoom, reading, writing
from .decoding import BLOCK, audio_packages, check_header, enter, read_mono
from .lengths import Lengths
from .opening import open_recording
from .windows import Windows


BYTES_PER_SAMPLE = 4  # float32


class DecodedFiles:
    """
    Args:
        folder (`str` or `Path`): Where to decode to; shared by the processes of a run.
        sampling_rate (`int`): In Hz.
    """

    def __init__(self, folder, sampling_rate: int):
        self.folder = Path(folder)
        self.sampling_rate = sampling_rate
        self.samples: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.samples

    @property
    def num_bytes(self) -> int:
        """What all of them take, decoded."""
        return BYTES_PER_SAMPLE * sum(self.samples.values())

    def read(self, recording: dict, begin: int, end: int) -> np.ndarray:
        """
        A part of a recording, (num_samples,), float32. The first process that asks for one decodes it; others wait.

        Raises:
            ValueError: If it is no readable audio.
            OSError: If there is no such file.
            NoRoom: If it does not fit; it may, later on.
        """
        path = self.path_of(recording["name"])
        failed = path.with_suffix(".failed")
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if failed.exists():
                    raise ValueError(failed.read_text(encoding="utf-8", errors="surrogateescape"))
                if not path.exists():
                    try:
                        self.decode(recording, path)
                    except NoRoom:
                        path.with_suffix(".part").unlink(missing_ok=True)
                        raise
                    except (ValueError, OSError) as error:
                        failed.write_text(str(error), encoding="utf-8", errors="surrogateescape")
                        raise
        return np.fromfile(path, np.float32, end - begin, offset=BYTES_PER_SAMPLE * begin)

    def path_of(self, name: str) -> Path:
        """Where a recording is, decoded."""
        return self.folder / hashlib.sha256(os.fsencode(name)).hexdigest()[:32]

    def remove(self, name: str):
        """Delete a recording that is not asked for again."""
        path = self.path_of(name)
        for each in (path, path.with_suffix(".lock"), path.with_suffix(".failed"), path.with_suffix(".part")):
            each.unlink(missing_ok=True)
        self.samples.pop(name, None)

    def decode(self, recording: dict, path: Path):
        """Decode all of a recording, piece by piece, into a file that appears when it is whole."""
        soundfile, soxr = audio_packages()
        name, left = recording["name"], self.samples[recording["name"]]
        part = path.with_suffix(".part")
        with (
            writing(part),
            open_recording(recording) as file,
            reading(name, "a readable audio file", "Repair or remove it."),
            soundfile.SoundFile(file) as sound,
            part.open("wb") as output,
        ):
            check_header(sound, name)
            enter(sound, 0)
            stream = soxr.ResampleStream(sound.samplerate, self.sampling_rate, 1, dtype="float32")
            is_last = False
            while left > 0 and not is_last:
                block = read_mono(sound, BLOCK)
                is_last = not len(block)
                if sound.samplerate != self.sampling_rate:
                    block = stream.resample_chunk(block, last=is_last)
                output.write(block[:left].tobytes())  # `tofile` does not say that a disk is full
                left -= len(block)
        part.rename(path)

    def choose(self, recordings, lengths: Lengths, windows: Windows, limit: int) -> str | None:
        """
        Choose which recordings are decoded as a whole: those that are long and slow to enter, the longest first, as
        far as they fit into `limit` bytes and half of what is free on the disk.

        Returns:
            What to say about it, if there are any.
        """
        slow = ~lengths.is_entered & (lengths.samples >= windows.length + windows.shortest)
        order = np.flatnonzero(slow)
        order = order[np.argsort(-lengths.samples[order], kind="stable")]
        fits = (
            np.cumsum(BYTES_PER_SAMPLE * lengths.samples[order]) <= min(limit, room_in(self.folder)) - self.num_bytes
        )
        for index in order[fits].tolist():
            self.samples[recordings[index]["name"]] = int(lengths.samples[index])
        if not len(order):
            return None
        said = (
            f"{len(order)} long recordings are MP3, which cannot be read from the middle. {fits.sum()} of them are "
            f"decoded once, into {self.folder} ({self.num_bytes / 1e9:.2g} GB, as long as this runs)."
        )
        return said if fits.all() else f"{said} The others do not fit and are slow to read; convert them to FLAC."


def room_in(folder: Path) -> int:
    """Bytes of a disk that decoded recordings may take: half of what is free."""
    while not folder.is_dir():
        folder = folder.parent
    return shutil.disk_usage(folder).free // 2
