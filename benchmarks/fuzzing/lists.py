"""Lists of recordings, by index or streamed, each recording decoded and compared with what libsndfile reads."""

import io
import itertools
import os
from pathlib import Path

from ssast_hf.audio.decoding import load_window
from ssast_hf.audio.recordings import as_recording, load_recordings

from .sounds import RATE, damaged_sound, difference, special
from .verdicts import Trial


# Of how many recordings a list consists at most, for the time it takes; some of the damaged ones claim more.
MOST = 50
SECONDS = 10


def listed(source: Path, random, names: set[str], expected) -> Trial:
    """
    A list that is read, by index or as a stream, and each recording in it decoded.

    `expected()` reads the list independently: for each recording the bytes of its file, or `None` where there is none.
    """
    streaming = random.random() < 0.4
    refusals: list[Exception] = []

    def run():
        recordings = load_recordings(str(source), streaming=streaming)
        if streaming:
            recordings = (as_recording(row, str(source), number) for number, row in enumerate(recordings))
        results = []
        for recording in itertools.islice(iterate(recordings), MOST):
            try:
                results.append(load_window(recording, RATE, 0, SECONDS * RATE, 1))
            except (ValueError, OSError) as error:
                refusals.append(error)
                results.append(error)
        return results

    def check(results):
        files = list(itertools.islice(expected(), MOST))
        if len(files) != len(results):
            return f"{len(results)} recordings, expected {len(files)}"
        for number, (result, content) in enumerate(zip(results, files, strict=True)):
            if isinstance(result, Exception):
                continue
            if content is None:
                return f"recording {number} is read, but there is none"
            if problem := difference(result, io.BytesIO(content), SECONDS):
                return f"recording {number}: {problem}"
        return None

    trial = Trial(f"{'streamed ' if streaming else ''}{source.name}: ", run, check, names | {source.name, "/dev/zero"})
    trial.refusals = refusals
    return trial


def iterate(recordings):
    """Any recordings in their order: `Recordings` ends by its length alone."""
    return (recordings[i] for i in range(len(recordings))) if hasattr(recordings, "__len__") else recordings


def content_of(path) -> bytes | None:
    try:
        return Path(path).read_bytes() if os.path.isfile(path) else None
    except (OSError, ValueError):
        return None


def sounds_in(random, place: Path, seeds: Path, folder: Path) -> list[Path]:
    """A few sounds, most of them intact."""
    place.mkdir(exist_ok=True)
    paths = []
    for number in range(random.choice((1, 2, 4))):
        seed = random.choice(sorted((seeds / "sounds").iterdir()))
        path = place / f"{number}{seed.suffix}"
        if random.random() < 0.15:
            scratch = place / f"part-{number}"
            scratch.mkdir()
            _, path = damaged_sound(random, scratch, seeds, folder)
            if path.is_fifo() or path.is_char_device() or path.is_dir():
                path = path.with_name("missing.wav")
        else:
            path.write_bytes(seed.read_bytes())
        paths.append(path)
    return paths


def special_source(random, folder: Path, seeds: Path) -> Trial:
    """A name of a list where none can be read."""
    source = folder / "input" / random.choice(("list.json", "list.csv", "sounds.tar", "sounds.parquet", "sounds"))
    seed = seeds / "sounds" / "00.wav"
    description = special(random, source, seed, folder)
    trial = listed(source, random, set(), lambda: iter([]))
    trial.description += description
    return trial
