"""Audio files: headers, lengths, rates, channels, formats and contents."""

import io
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ssast_hf.audio import load_audio

from .damage import damage_bytes
from .verdicts import SECRET, Trial


RATE = 16000


def audio_file(random, folder: Path, seeds: Path) -> Trial:
    """A sound, loaded."""
    description, path = damaged_sound(random, folder / "input", seeds, folder)
    return Trial(description, lambda: load_audio(path), lambda audio: difference(audio, path), {path.name},
                 is_intact=description.startswith("intact"))  # fmt: skip


def difference(audio: np.ndarray, source, seconds: int | None = None) -> str | None:
    """
    Whether a waveform is not what libsndfile itself reads from a path or a file, of its first `seconds` or all of
    it, mixed down and resampled.
    """
    with soundfile.SoundFile(source) as file:
        rate = file.samplerate
        samples = file.read(file.frames if seconds is None else rate * seconds + 2, dtype="float32", always_2d=True)
    expected = samples.astype(np.float64).mean(axis=1)
    if rate != RATE and len(expected):
        expected = soxr.resample(expected.astype(np.float32), rate, RATE)
    expected = expected if seconds is None else expected[: RATE * seconds]
    if audio.dtype != np.float32 or audio.ndim != 1:
        return f"{audio.dtype} of shape {audio.shape}"
    if abs(len(audio) - len(expected)) > 1:
        return f"{len(audio)} samples, expected {len(expected)}"
    length = min(len(audio), len(expected))
    if not np.allclose(audio[:length], expected[:length], rtol=1e-4, atol=1e-4, equal_nan=True):
        return "other samples"
    return None


def damaged_sound(random, place: Path, seeds: Path, folder: Path) -> tuple[str, Path]:
    """Write a sound that something was done to; returns what, and where it is."""
    seed = random.choice(sorted((seeds / "sounds").iterdir()))
    data = seed.read_bytes()
    path = place / f"sound{seed.suffix}"
    way = random.choice("intact bytes bytes head head size suffix special odd odd text link".split())
    if way == "bytes":
        description, data = damage_bytes(random, data)
    elif way == "head":
        description, data = damage_head(random, data)
    elif way == "size":
        description, data = damage_size(random, data)
    elif way == "suffix":
        description = random.choice((".wav", ".flac", ".mp3", ".raw", ".sd2", ".txt", ".m4a", ""))
        path = path.with_suffix(description)
    elif way == "odd":
        description, data = odd_sound(random)
        path = path.with_suffix(".wav")
    elif way == "text":
        description, data = (
            "no audio",
            random.choice((b"", b"RIFF", b"<html></html>", b"ID3", b"fLaC", b"OggS" * 100, bytes(5000))),
        )
    elif way in ("special", "link"):
        return f"{seed.name}: {special(random, path, seed, folder)}", path
    else:
        description = "intact"
    path.write_bytes(data)
    return f"{description} {seed.name}" if way == "intact" else f"{way} {seed.name}: {description}", path


def damage_head(random, data: bytes) -> tuple[str, bytes]:
    """Numbers of two or four bytes near the beginning: rates, channels, bits, lengths."""
    done = []
    for _ in range(random.choice((1, 1, 2))):
        size = random.choice((2, 4))
        place = random.randrange(0, min(len(data) - size, 100), 2)
        value = random.choice(
            (0, 1, 2, 3, 7, 255, 256, 1023, 1024, 1025, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 192000)
        )
        field = struct.pack(random.choice("<>") + "Q", value)
        field = field[:size] if field[0] or not value else field[-size:]
        data = data[:place] + field + data[place + size :]
        done.append(f"{value} at {place}")
    return ", ".join(done), data


def damage_size(random, data: bytes) -> tuple[str, bytes]:
    """Lengths that the file does not have, where the formats keep them."""
    for mark, offset, size in (
        (b"data", 4, 4),
        (b"SSND", 4, 4),
        (b"fmt ", 4, 4),
        (b"fLaC", 18, 8),
        (b"ds64", 16, 8),
        (b"OggS", 6, 8),
    ):
        start = data.find(mark)
        if start >= 0:
            value = random.choice((0, 1, 2**20, 2**30, 2**31 - 1, 2**32 - 1, 2**40, 2**62))
            order = "little" if mark not in (b"SSND", b"fLaC") else "big"
            field = (value % 256**size).to_bytes(size, order)
            return f"{mark.decode()} is {value} long", data[: start + offset] + field + data[start + offset + size :]
    return damage_head(random, data)


def odd_sound(random) -> tuple[str, bytes]:
    """A right file of something that nobody records."""
    rate = random.choice((1, 2, 7, 100, 4000, 11025, 15999, 16001, 96000, 192000, 655350, 2**31 - 1))
    channels = random.choice((1, 1, 2, 6, 64, 1000))
    frames = random.choice((0, 1, 2, 399, 400, 1600, 5000))
    subtype = random.choice(("PCM_16", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "GSM610", "MS_ADPCM"))
    content = random.choice((0.0, 1.0, float("nan"), float("inf"), 1e30, -1.0, 1e300 if subtype == "DOUBLE" else 1e38))
    if content > 1 and subtype not in ("FLOAT", "DOUBLE"):
        content = 1.0
    buffer = io.BytesIO()
    try:
        with np.errstate(all="ignore"):
            soundfile.write(buffer, np.full((frames, channels), content), rate, format="WAV", subtype=subtype)
    except (soundfile.LibsndfileError, ValueError, TypeError):  # it cannot write that
        channels, subtype = 1, "FLOAT"
        soundfile.write(buffer := io.BytesIO(), np.full(frames, content), rate, format="WAV", subtype=subtype)
    return f"{frames} x {channels} of {content} at {rate} Hz, {subtype}", buffer.getvalue()


def special(random, path: Path, seed: Path, folder: Path) -> str:
    """No file at all, or one that is something else."""
    way = random.choice("missing folder link dangling loop zero pipe unreadable".split())
    if way == "folder":
        path.mkdir()
    elif way == "link":
        shutil.copy(seed, folder / SECRET)
        path.symlink_to(folder / SECRET)
    elif way == "dangling":
        path.symlink_to("nowhere")
    elif way == "loop":
        path.symlink_to(path.name)
    elif way == "zero":
        path.symlink_to("/dev/zero")
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "unreadable":
        shutil.copy(seed, path)
        path.chmod(0)
    return way
