"""A folder of parts as a map, from the parts to the page."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..storage.writing import check_output, written_whole
from .labels import labels_of, read_labels
from .map_page import Named, Point, write_map_page
from .mapping import place_on_map
from .nearest import Found, find_nearest
from .plots import COLOURS, GREY, PLAIN, draw_map
from .recording_picture import draw_over_time
from .sounds import MOST_SECONDS, Sounds
from .stored import Rows, StoredEmbeddings, joined


PAGE, PICTURE, RECORDING = "index.html", "map.png", "recording.png"
DUPLICATES, OUTLIERS = "duplicates.csv", "outliers.csv"
WRITTEN = (PAGE, PICTURE, RECORDING, DUPLICATES, OUTLIERS)
FEWEST = 3
# Clips that each one is compared with for outliers, and that are looked at for duplicates.
NEIGHBOURS, MOST_DUPLICATES = 5, 10
# Outliers that are listed: so many, or this share of few clips.
MOST_OUTLIERS, OUTLIER_SHARE = 20, 0.1
# Differences of equal vectors, as a share of their length.
ROUNDING = 1e-6


def explore(
    folder,
    output,
    labels=None,
    label_column: str | None = None,
    recording: str | None = None,
    max_clips: int = 2000,
    duplicate: float = 0.9999,
    max_megabytes: float = 16,
    overwrite: bool = False,
) -> Iterator[str]:
    """
    Draw a map of the clips in a folder of parts, as a picture and as a page that plays them, and list duplicates and
    outliers; or, of parts at the level `"frame"` of a single recording, its similarity over time.

    Args:
        folder (`str` or `Path`): The output of `ssast-hf embed`. At the levels `"frame"` and `"patch"`, a clip is the
            mean of a path's rows.
        output (`str` or `Path`): The folder to write.
        labels (`str` or `Path`, *optional*): A CSV file of paths and labels.
        label_column (`str`, *optional*): Its column of labels.
        recording (`str`, *optional*): A path in the parts that is drawn over time instead of the map.
        max_clips (`int`, defaults to 2000): Clips on the map, drawn at random if there are more.
        duplicate (`float`, defaults to 0.9999): The cosine from which on two clips are listed as duplicates.
        max_megabytes (`float`, defaults to 16): Sound that is put into the page; the rest is linked.
        overwrite (`bool`, defaults to `False`): Whether what an earlier run wrote there is replaced.

    Yields:
        `str`: What was found and written, line by line.

    Raises:
        ValueError: If there are no parts, if they are not in order, or if there is nothing to draw.
        OSError: If a file or folder is missing, or cannot be written.
    """
    if max_clips < FEWEST:
        raise ValueError(f"--max_clips must be at least {FEWEST}, got {max_clips}.")
    if not 0 < duplicate <= 1:
        raise ValueError(f"--duplicate is a cosine above 0 and up to 1, got {duplicate}.")
    check_output(output, overwrite, folder)
    stored = StoredEmbeddings(folder)
    known = None if labels is None else read_labels(labels, label_column)
    if recording is None:
        clips, numbers, total = drawn(stored, max_clips)
        if total == 1 and stored.level != "clip":
            recording = clips.paths[0]
        elif total < FEWEST:
            raise ValueError(
                f"{folder} holds {total} clip{'s' if total > 1 else ''}; a map takes at least {FEWEST}. "
                "A single recording is drawn over time if it is embedded with --level frame."
            )
    if recording is not None:
        yield from explore_recording(stored, recording, output)
        return
    check_spread(clips, folder)
    names = labels_of(clips.paths, known, labels, folder) if known is not None else [""] * clips.count

    yield (
        f"{clips.count} of {total} clips in {folder}, embedded by {stored.model} at the level {stored.level}; "
        f"comparing each with all"
    )
    found = find_nearest(clips.vectors, stored.clips(), MOST_DUPLICATES, own=numbers)
    places, method = place_on_map(clips.vectors)
    groups = groups_of(names)
    pairs = duplicates_of(found, clips, numbers, duplicate)
    far = outliers_of(found)
    with written_whole(output, WRITTEN) as place:
        place.mkdir()
        title = f"{clips.count} clips by {method}, embedded by {Path(stored.model).name}"
        draw_map(places, groups, title, place / PICTURE)
        sounds = Sounds(Path(output).resolve(), round(max_megabytes * 1e6))
        titles = titles_of(clips, stored.level)
        points = points_of(
            clips, titles, names, places, groups, found, sounds, first=points_first(pairs, far, numbers)
        )
        position = {int(number): i for i, number in enumerate(numbers)}
        write_map_page(
            place / PAGE,
            title,
            points,
            [(name, colour, int(mask.sum())) for name, (colour, mask) in groups.items()],
            [(Named(title_of(a), position.get(i)), Named(title_of(b), position.get(j)), s) for i, j, a, b, s in pairs],
            [(Named(titles[i], i), names[i], mean) for i, mean in far],
            notes_of(method, clips.count, total, duplicate),
        )
        write_table(
            place / DUPLICATES,
            ("path", "start", "end", "other_path", "other_start", "other_end", "similarity"),
            [(*a, *b, f"{s:.6f}") for _, _, a, b, s in pairs],
        )
        write_table(
            place / OUTLIERS,
            ("path", "start", "end", "label", "similarity"),
            [(clips.paths[i], clips.starts[i], clips.ends[i], names[i], f"{mean:.6f}") for i, mean in far],
        )
    if known is not None:
        yield f"labels of {sum(map(bool, names))} clips, {len(set(names) - {''})} different ones"
    yield f"{len(pairs)} pairs of duplicates (similarity {duplicate:g} or more), {len(far)} outliers; {sounds}"
    yield f"Written: {output}/{PAGE}, {PICTURE}, {DUPLICATES} and {OUTLIERS}"


def explore_recording(stored: StoredEmbeddings, path: str, output) -> Iterator[str]:
    """Draw a recording over time."""
    if stored.level == "clip":
        raise ValueError(
            f"{stored.folder} has one vector per clip; similarity over time takes parts embedded with --level frame."
        )
    rows = stored.rows_of_paths([path])
    if rows is None:
        raise ValueError(f"{path} is not in {stored.folder}, whose first path is {next(stored.rows()).paths[0]}.")
    with written_whole(output, WRITTEN) as place:
        place.mkdir()
        draw_over_time(path, rows, place / RECORDING)
    yield f"Written: {output}/{RECORDING}"


def drawn(stored: StoredEmbeddings, most: int) -> tuple[Rows, np.ndarray, int]:
    """Clips for a map, their numbers among all, and how many there are; the same clips every time."""
    total = sum(rows.count for rows in stored.clips()) if stored.level != "clip" else stored.num_rows
    numbers = np.sort(np.random.default_rng(0).choice(total, min(most, total), replace=False))
    kept, begin = [], 0
    for rows in stored.clips():
        here = numbers[(begin <= numbers) & (numbers < begin + rows.count)]
        kept.append(rows.take(here - begin))
        begin += rows.count
    return joined(kept), numbers, total


def check_spread(clips: Rows, folder):
    """ValueError if all vectors are the same."""
    first = clips.vectors[0]
    if (np.abs(clips.vectors - first).max(axis=1) <= ROUNDING * np.abs(first).max()).all():
        raise ValueError(
            f"All {clips.count} embeddings in {folder} are equal, so there is nothing to map: the recordings are the "
            "same (silence?), or the model has collapsed."
        )


def groups_of(labels: list[str]) -> dict[str, tuple[str, np.ndarray]]:
    """Names for a legend -> colour and which clips; the most frequent labels have colours of their own."""
    values = np.array(labels, object)
    counts = Counter(label for label in labels if label)
    if not counts:
        return {"clips": (PLAIN, np.ones(len(labels), bool))}
    frequent = sorted(label for label, _ in counts.most_common(len(COLOURS)))
    others = [("other labels", (values != "") & ~np.isin(values, frequent)), ("without label", values == "")]
    groups = {name: (GREY, mask) for name, mask in others if mask.any()}
    return groups | {
        label: (colour, values == label) for label, colour in zip(frequent, COLOURS[: len(frequent)], strict=True)
    }


def duplicates_of(found: Found, clips: Rows, numbers: np.ndarray, least: float) -> list[tuple]:
    """Pairs of clips, each once, the most alike first: their numbers, path, start and end of each, and the cosine."""
    pairs = {}
    for i, k in zip(*np.nonzero((found.numbers >= 0) & (found.similarities >= least)), strict=True):
        own, other = int(numbers[i]), int(found.numbers[i, k])
        a = (clips.paths[i], clips.starts[i], clips.ends[i])
        b = (found.paths[i, k], found.starts[i, k], found.ends[i, k])
        pair = (own, other, a, b) if own < other else (other, own, b, a)
        pairs[pair[:2]] = (*pair, float(found.similarities[i, k]))
    return sorted(pairs.values(), key=lambda pair: (-pair[-1], pair[:2]))


def outliers_of(found: Found) -> list[tuple[int, float]]:
    """The clips that are furthest from those nearest to them, and their mean cosine to these, the furthest first."""
    means = np.ma.masked_where(found.numbers < 0, found.similarities)[:, :NEIGHBOURS].mean(axis=1).filled(1)
    count = min(MOST_OUTLIERS, max(1, round(OUTLIER_SHARE * len(means))))
    return [(int(i), float(means[i])) for i in np.argsort(means, kind="stable")[:count]]


def points_first(pairs: list[tuple], far: list[tuple[int, float]], numbers: np.ndarray) -> list[int]:
    """Points whose sound is wanted most: those in the tables."""
    listed = np.array([number for pair in pairs for number in pair[:2]], np.int64)
    return [int(i) for i in np.flatnonzero(np.isin(numbers, listed))] + [i for i, _ in far]


def points_of(clips, titles, labels, places, groups, found, sounds: Sounds, first: list[int]) -> list[Point]:
    """All clips of the map for the page; there is room for the sounds of the `first` ones first."""
    colours = np.full(clips.count, GREY, object)
    for colour, mask in groups.values():
        colours[mask] = colour
    # The others from all over the data.
    others = np.random.default_rng(0).permutation(clips.count).tolist()
    addresses = {
        i: sounds.address(clips.paths[i], clips.starts[i], clips.ends[i]) for i in dict.fromkeys([*first, *others])
    }
    points = []
    for i in range(clips.count):
        near = zip(found.paths[i], found.similarities[i], found.numbers[i], strict=True)
        nearest = [(Path(path).name, round(float(s), 4)) for path, s, number in near if number >= 0]
        x, y = map(float, places[i])
        about = (titles[i], clips.paths[i], labels[i], addresses[i], nearest[:NEIGHBOURS])
        points.append(Point(x, y, colours[i], *about))
    return points


def titles_of(clips: Rows, level: str) -> list[str]:
    """What clips are called: as their files, with the time if a file has several."""
    counts = Counter(clips.paths)
    parts = zip(clips.paths, clips.starts, clips.ends, strict=True)
    return [title_of(part) if counts[part[0]] > 1 else Path(part[0]).name for part in parts]


def title_of(part: tuple[str, float, float]) -> str:
    """A file's name, and from and to where in it, unless it begins with the file."""
    path, start, end = part
    return f"{Path(path).name}, {start:g} to {end:g} s" if start else Path(path).name


def notes_of(method: str, count: int, total: int, duplicate: float) -> list[str]:
    """What to know about the map, the duplicates and the outliers."""
    drawn_of = f"{count} of {total} clips, drawn at random. " if count < total else ""
    return [
        f"{drawn_of}By {method}: clips that are close to each other here are alike to the model; distances between "
        f"groups mean little. What is heard is the first {MOST_SECONDS:g} seconds, if the sound is in this page.",
        f"Pairs whose vectors point the same way: cosine {duplicate:g} or more. Each clip of the map was compared "
        f"with all. Complete, up to {MOST_DUPLICATES} for a clip: {DUPLICATES}",
        f"The clips of the map that are least like the {NEIGHBOURS} nearest of all: their mean cosine to these. "
        f"Also in {OUTLIERS}",
    ]


def write_table(path: Path, head: tuple[str, ...], rows: list[tuple]):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
