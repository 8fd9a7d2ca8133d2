"""
A corpus of open audio, of at least 12 hours, from what anybody can install: recordings in Debian packages, speech by
espeak-ng, instruments by fluidsynth, and two small data sets in a folder.

    apt-get install espeak-ng fluidsynth ffmpeg
    python benchmarks/open_audio.py --output_dir corpus --data /path/to/data
    ssast-hf pretrain --train_data corpus/manifest.csv --weight_column weight ...

Packages are fetched by `apt-get download` and unpacked below the output folder; nothing is installed. Of each, only
what is under CC0, CC BY, CC BY-SA, BSD or MIT by its copyright file is taken; `open_audio_parts/packages.py` has the
table. `--data` is a folder with `libri251`, of whose readers a fifth is left out to evaluate on, and `esc10`, which is
left out unless `--with_esc10` is given; what the package's bundled clips are cut from is left out of both. A build
that was killed goes on with the source that it was at; a source whose definition has changed is made anew.

Writes `audio/` (16 kHz, mono, FLAC; at most 3 minutes of a recording, no duplicates, no silence), `manifest.csv`
(path, source, kind, weight, seconds, licence, authors, recording) and `training_data.csv` (source, kind, hours,
recordings, licence, authors). With `--only` some sources are made, and no lists, which are of all.
"""

import argparse
import inspect
import shutil
import sys
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path

from open_audio_parts import folders, instruments, recordings, speech
from open_audio_parts.corpus import GROUPS, MANIFEST, Source, make_source, weigh, write_lists
from open_audio_parts.packages import PACKAGES, pieces_of


TOOLS = ("apt-get", "dpkg-deb", "espeak-ng", "fluidsynth", "ffmpeg")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output_dir", type=Path, required=True, help="where the corpus goes")
    parser.add_argument("--data", type=Path, help="folder with libri251 and esc10; neither is taken without it")
    parser.add_argument("--with_esc10", action="store_true", help="take ESC-10's clips, too")
    parser.add_argument("--cache", type=Path, help="where packages are kept (default: cache in the output folder)")
    parser.add_argument("--only", nargs="+", help="some of the sources, by name")
    arguments = parser.parse_args(argv)
    if arguments.with_esc10 and arguments.data is None:
        parser.error("--with_esc10 needs --data")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        parser.error(f"not installed: {', '.join(missing)}; apt-get install espeak-ng fluidsynth ffmpeg")
    sources = all_sources(arguments.cache or arguments.output_dir / "cache", arguments.data, arguments.with_esc10)
    if unknown := sorted({*(arguments.only or ())} - sources.keys()):
        parser.error(f"--only {' '.join(unknown)}: expected some of {', '.join(sources)}")
    rows, seen = [], set()
    try:
        for name, source in sources.items():
            if arguments.only is None or name in arguments.only:
                rows += make_source(name, source, arguments.output_dir, seen)
    except OSError as error:
        print(f"open_audio.py: {error}", file=sys.stderr)
        return 1
    if arguments.only is None:
        weigh(rows)
        write_lists(rows, arguments.output_dir)
        written = f"Written: {arguments.output_dir / MANIFEST}"
    else:
        written = "No lists are written with --only; run it again without."
    hours: dict[str, float] = defaultdict(float)
    for row in rows:
        hours[row["kind"]] += row["seconds"] / 3600
    for kind in GROUPS:
        print(f"{kind}: {hours[kind]:.2f} h")
    print(f"{len(rows)} recordings, {sum(hours.values()):.2f} h. {written}")
    return 0


def all_sources(cache: Path, data: Path | None, with_esc10: bool) -> dict[str, Source]:
    """Name of each source -> what it is: an entry of a table, or a module."""
    sources = {package.name: Source(repr(package), partial(pieces_of, package, cache)) for package in PACKAGES}
    made = {"espeak-ng": (speech, speech.render, cache), "fluidsynth": (instruments, instruments.render, cache)}
    if data is not None:
        made["libri251"] = (folders, folders.libri251, data)
        if with_esc10:
            made["esc10"] = (folders, folders.esc10, data)
    for name, (module, function, folder) in made.items():
        sources[name] = Source(inspect.getsource(module), partial(function, folder))
    cleaning = inspect.getsource(recordings)  # what all of them go through
    return {name: replace(source, definition=source.definition + cleaning) for name, source in sources.items()}


if __name__ == "__main__":
    sys.exit(main())
