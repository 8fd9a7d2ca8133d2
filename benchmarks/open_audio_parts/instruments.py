"""Music rendered by fluidsynth from generated scores, with a sound font under the MIT licence."""

import io
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .packages import unpack
from .recordings import RATE, Piece


PROGRAMS = 128
ENSEMBLES = 48
TICKS = 480  # of a quarter
QUARTERS = 24  # of one instrument alone
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10), tuple(range(12)))
LICENCE = "CC0-1.0"
AUTHORS = "rendered by us with fluidsynth, from generated scores; sound font FluidR3 (MIT) by Frank Wen and others"
DRUMS = 9


def render(cache: Path) -> Iterator[Piece]:
    """The instruments one after the other, some in each recording, and pieces for several at once."""
    font = next(unpack("fluid-soundfont-gm", cache, (".sf2",)).rglob("FluidR3_GM.sf2"))
    random = np.random.default_rng(0)
    plans = [(list(range(first, first + 4)), False) for first in range(0, PROGRAMS, 4)]
    plans += [(random.integers(PROGRAMS, size=random.integers(2, 5)).tolist(), True) for _ in range(ENSEMBLES)]
    for programs, together in plans:
        with tempfile.TemporaryDirectory() as folder:
            score = Path(folder, "score.mid")
            score.write_bytes(score_of(programs, together, random))
            reverb = str(int(random.random() < 0.5))
            command = ["fluidsynth", "-ni", "-q", "-R", reverb, "-C", "0", "-g", "0.6", "-r", "32000", "-F"]
            done = subprocess.run([*command, f"{folder}/score.wav", str(font), str(score)], capture_output=True)
            if done.returncode or not Path(folder, "score.wav").exists():
                raise OSError(f"fluidsynth failed: {done.stderr.decode(errors='replace').strip()}")
            audio, rate = soundfile.read(io.BytesIO(Path(folder, "score.wav").read_bytes()), dtype="float32")
        audio = soxr.resample(audio.mean(axis=1), rate, RATE)
        how = "together" if together else "one after the other"
        yield Piece(audio, f"programs {' '.join(map(str, programs))} {how}", LICENCE, AUTHORS, "instruments")


def score_of(programs: list[int], together: bool, random: np.random.Generator) -> bytes:
    """A standard MIDI file of random melodies and chords, at a random tempo, often with drums if together."""
    scale, root = SCALES[random.integers(len(SCALES))], int(random.integers(12))
    tempo = int(60e6 / random.uniform(70, 170))
    events = [(0, bytes([0xFF, 0x51, 3]) + tempo.to_bytes(3, "big"))]
    channels = [channel for channel in range(16) if channel != DRUMS]
    for part, (channel, program) in enumerate(zip(channels, programs, strict=False)):
        events.append((0, bytes([0xC0 | channel, program])))
        octave, step = int(random.integers(2, 7)), int(random.integers(len(scale)))
        place, end = (
            (0, 2 * QUARTERS * TICKS) if together else (part * QUARTERS * TICKS, (part + 1) * QUARTERS * TICKS)
        )
        while place < end:
            length = int(TICKS * random.choice([0.25, 0.5, 1, 2, 4], p=[0.2, 0.35, 0.25, 0.15, 0.05]))
            step += int(random.integers(-3, 4))
            velocity = int(random.integers(40, 120))
            for shift in (0, 2, 4)[: random.choice([1, 1, 1, 3])]:
                up, degree = divmod(step % (2 * len(scale)) + shift, len(scale))
                note = min(max(root + 12 * (octave + up) + scale[degree], 12), 115)
                events.append((place, bytes([0x90 | channel, note, velocity])))
                events.append((place + int(length * random.uniform(0.5, 1)), bytes([0x80 | channel, note, 0])))
            place += length if random.random() < 0.9 else 2 * length
    if together and random.random() < 0.6:
        for beat in range(4 * QUARTERS):
            for note in random.choice(np.arange(35, 82), size=random.integers(0, 3), replace=False).tolist():
                events.append((beat * TICKS // 2, bytes([0x90 | DRUMS, note, int(random.integers(40, 120))])))
    return midi_file(events)


def midi_file(events: list[tuple[int, bytes]]) -> bytes:
    """A file of one track from events and when they are, in ticks."""
    track, before = b"", 0
    for place, event in sorted(events, key=lambda pair: pair[0]):
        track += variable_length(place - before) + event
        before = place
    track += bytes([0, 0xFF, 0x2F, 0])
    header = b"MThd" + (6).to_bytes(4, "big") + b"\0\0\0\1" + TICKS.to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


def variable_length(number: int) -> bytes:
    """A number as MIDI writes it: seven bits a byte, the highest bit set in all but the last."""
    result = bytes([number & 0x7F])
    while number := number >> 7:
        result = bytes([number & 0x7F | 0x80]) + result
    return result
