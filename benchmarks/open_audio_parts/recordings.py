"""Audio files in, clean pieces of mono audio at 16 kHz out."""

import io
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr


RATE = 16000
SUFFIXES = tuple(".aif .aiff .flac .g722 .mp3 .oga .ogg .opus .wav".split())
# Of one recording, in seconds.
LONGEST = 180
# What is quieter than this for a while is left out: dB relative to full scale, seconds, and what stays at each end.
SILENCE, PAUSE, MARGIN = -60.0, 0.3, 0.1
FRAME = RATE // 50
# Recordings shorter than this are joined to ones of about that length, in seconds: clips of training would be padding.
SHORT, JOINED = 10, 30
SHORTEST = 0.1


@dataclass(frozen=True)
class Piece:
    """
    Args:
        content (`bytes` or `np.ndarray`): An audio file, or samples (num_samples,) at 16 kHz, float32.
        name (`str`): Where it is from.
        licence, authors (`str`): Its terms.
        kind (`str`): Of sound: one of `GROUPS` in `corpus.py`.
    """

    content: bytes | np.ndarray
    name: str
    licence: str
    authors: str
    kind: str


def decode(content: bytes, name: str) -> np.ndarray:
    """
    The first twice `LONGEST` seconds of an audio file, of which silence may take half, mono at 16 kHz; of G.722, which
    comes in chunks, all. ValueError if it is none.
    """
    if name.lower().endswith(".g722"):
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "g722",
            "-i",
            "pipe:",
            "-ar",
            str(RATE),
            "-ac",
            "1",
            "-f",
            "s16le",
            "-",
        ]
        done = subprocess.run(command, input=content, capture_output=True)
        if done.returncode:
            raise ValueError(f"{name}: {done.stderr.decode(errors='replace').strip()}")
        return np.frombuffer(done.stdout, np.int16).astype(np.float32) / 32768
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            audio = sound.read(2 * LONGEST * sound.samplerate, "float32", always_2d=True).mean(axis=1)
            rate = sound.samplerate
    except (soundfile.LibsndfileError, ValueError) as error:
        raise ValueError(f"{name} is no readable audio file: {error}") from error
    return audio if rate == RATE else soxr.resample(audio, rate, RATE)


def without_silence(audio: np.ndarray) -> np.ndarray:
    """Samples (num_samples,) without pauses, of which a little is left at each end."""
    count = len(audio) // FRAME
    if not count:
        return audio[:0]
    frames = audio[: count * FRAME].reshape(count, FRAME)
    levels = 10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-20)
    loud = np.flatnonzero(levels > SILENCE)
    if not len(loud):
        return audio[:0]
    margin, pause = round(MARGIN * RATE / FRAME), round(PAUSE * RATE / FRAME)
    keep = np.zeros(count, dtype=bool)
    breaks = np.flatnonzero(np.diff(loud) > pause)
    for first, last in zip(loud[np.r_[0, breaks + 1]], loud[np.r_[breaks, len(loud) - 1]], strict=True):
        keep[max(first - margin, 0) : last + margin + 1] = True
    return frames[keep].reshape(-1)


def cleaned(piece: Piece) -> Piece:
    """A piece decoded, without silence, and not longer than the longest; ValueError if nothing is left."""
    audio = decode(piece.content, piece.name) if isinstance(piece.content, bytes) else piece.content
    audio = without_silence(np.nan_to_num(audio))[: LONGEST * RATE]
    if len(audio) < SHORTEST * RATE:
        raise ValueError(f"{piece.name} holds no sound")
    return Piece(audio, piece.name, piece.licence, piece.authors, piece.kind)


def joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Pieces as they come, but short ones of the same terms and kind joined to longer ones."""
    waiting: dict[tuple, list[Piece]] = {}
    for piece in pieces:
        if len(piece.content) >= SHORT * RATE:
            yield piece
            continue
        key = (piece.kind, piece.licence, piece.authors)
        parts = waiting.setdefault(key, [])
        parts.append(piece)
        if sum(len(part.content) for part in parts) >= JOINED * RATE:
            yield one_of(waiting.pop(key))
    for parts in waiting.values():
        yield one_of(parts)


def one_of(parts: list[Piece]) -> Piece:
    first = parts[0]
    name = first.name if len(parts) == 1 else f"{first.name} and {len(parts) - 1} more"
    return Piece(np.concatenate([part.content for part in parts]), name, first.licence, first.authors, first.kind)
