"""
A corpus of open audio, of at least 12 hours, from what anybody can install: recordings in Debian packages, speech by
espeak-ng, instruments by fluidsynth, and two small data sets in a folder.

    apt-get install espeak-ng fluidsynth ffmpeg
    python benchmarks/open_audio.py --output_dir corpus --data /path/to/data
    ssast-hf pretrain --train_data corpus/manifest.csv --weight_column weight ...

Packages are fetched by `apt-get download` and unpacked below the output folder; nothing is installed. Of each, only
what is under CC0, CC BY, CC BY-SA, BSD or MIT by its copyright file is taken; `open_audio_parts/packages.py` has the
table. `--data` is a folder with `libri251`, of whose readers a fifth is left out to evaluate on, and `esc10`, which is
left out unless `--with_esc10` is given. A build that was killed goes on with the source that it was at.

Writes `audio/` (16 kHz, mono, FLAC; at most 3 minutes of a recording, no duplicates, no silence), `manifest.csv`
(path, source, kind, weight, terms) and `training_data.csv` (source, hours, licence, authors).
"""

import argparse
import shutil
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

from open_audio_parts import folders, instruments, speech
from open_audio_parts.corpus import GROUPS, make_source, weigh, write_lists
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
        for name, pieces in sources.items():
            if arguments.only is None or name in arguments.only:
                rows += make_source(name, pieces, arguments.output_dir, seen)
    except OSError as error:
        print(f"open_audio.py: {error}", file=sys.stderr)
        return 1
    weigh(rows)
    write_lists(rows, arguments.output_dir)
    hours: dict[str, float] = defaultdict(float)
    for row in rows:
        hours[row["kind"]] += row["seconds"] / 3600
    for kind in GROUPS:
        print(f"{kind}: {hours[kind]:.2f} h")
    print(f"{len(rows)} recordings, {sum(hours.values()):.2f} h. Written: {arguments.output_dir / 'manifest.csv'}")
    return 0


def all_sources(cache: Path, data: Path | None, with_esc10: bool) -> dict:
    """Name of each source -> what finds its recordings."""
    sources = {package.name: partial(pieces_of, package, cache) for package in PACKAGES}
    sources |= {"espeak-ng": partial(speech.render, cache), "fluidsynth": partial(instruments.render, cache)}
    if data is not None:
        sources["libri251"] = partial(folders.libri251, data)
        if with_esc10:
            sources["esc10"] = partial(folders.esc10, data)
    return sources


if __name__ == "__main__":
    sys.exit(main())
