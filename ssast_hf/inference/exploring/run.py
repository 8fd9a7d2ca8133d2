"""From a folder of parts to a map of its clips, or to a picture of a recording over time."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...storage.writing import check_output, written_whole
from ..embedding.stored import Rows, StoredEmbeddings, joined
from .findings import NEIGHBOURS, Outlier, Pair, Part, duplicates_of, groups_of, outliers_of
from .labels import labels_of, read_labels
from .map_page import Listed, Point, write_map_page
from .mapping import place_on_map
from .nearest import Found, find_nearest, normalised
from .plots import draw_map
from .recording_picture import draw_over_time
from .sounds import MOST_SECONDS, Sounds


PAGE, PICTURE, RECORDING = "index.html", "map.png", "recording.png"
DUPLICATES, OUTLIERS = "duplicates.csv", "outliers.csv"
WRITTEN = (PAGE, PICTURE, RECORDING, DUPLICATES, OUTLIERS)
# Clips on a map, at least, and those that each one is compared with for duplicates.
FEWEST, MOST_DUPLICATES = 3, 10
# Differences of vectors of length 1 that are equal.
ROUNDING = 1e-6


@dataclass
class Survey:
    """
    Clips on a map: which of how many, `numbers` `(num_clips,)` being their places among all; their labels, empty where
    there is none; `places` `(num_clips, 2)` on the map, and the method that found them; what is nearest to each.
    """

    clips: Rows
    numbers: np.ndarray
    total: int
    labels: list[str]
    places: np.ndarray
    method: str
    found: Found
    pairs: list[Pair]
    outliers: list[Outlier]

    def part(self, i: int) -> Part:
        return Part(self.clips.paths[i], float(self.clips.starts[i]), float(self.clips.ends[i]))


def explore(
    folder,
    output,
    labels=None,
    label_column: str | None = None,
    recording: str | None = None,
    max_clips: int = 2000,
    duplicate: float = 0.9999,
    max_megabytes: float = 8,
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
        max_megabytes (`float`, defaults to 8): Sound that is put into the page; the rest is linked.
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
        else:
            check_clips(clips, total, folder)
    if recording is not None:
        draw_recording_of(stored, recording, output)
        yield f"Written: {output}/{RECORDING}"
        return

    names = [""] * clips.num_rows if known is None else labels_of(clips.paths, known, labels, folder)
    yield f"{clips.num_rows} of {total} clips, embedded by {stored.model} at the level {stored.level}"
    found = find_nearest(clips.vectors, stored.clips(), MOST_DUPLICATES, own=numbers)
    places, method = place_on_map(clips.vectors)
    pairs = duplicates_of(found, clips, numbers, duplicate)
    survey = Survey(clips, numbers, total, names, places, method, found, pairs, outliers_of(found))
    sounds = Sounds(Path(output).resolve(), round(max_megabytes * 1e6))
    with written_whole(output, WRITTEN) as place:
        place.mkdir()
        write_survey(survey, sounds, Path(stored.model).name, duplicate, place)
    if known is not None:
        yield f"labels of {sum(map(bool, names))} clips, {len(set(names) - {''})} different ones"
    yield f"duplicates: {len(pairs)} (cosine {duplicate:g} or more); outliers: {len(survey.outliers)}"
    yield f"sound of {sounds.embedded} clips in the page, {sounds.linked} linked, {sounds.missing} not found"
    yield f"Written: {output}/{PAGE}, {PICTURE}, {DUPLICATES} and {OUTLIERS}"


def drawn(stored: StoredEmbeddings, most: int) -> tuple[Rows, np.ndarray, int]:
    """Clips for a map, their numbers among all, and how many there are; the same clips every time."""
    total = stored.num_rows if stored.level == "clip" else stored.means.num_rows
    numbers = np.sort(np.random.default_rng(0).choice(total, min(most, total), replace=False))
    kept, begin = [], 0
    for rows in stored.clips():
        here = numbers[(begin <= numbers) & (numbers < begin + rows.num_rows)]
        kept.append(rows.take(here - begin))
        begin += rows.num_rows
    return joined(kept), numbers, total


def check_clips(clips: Rows, total: int, folder):
    """ValueError if there are too few clips for a map, or if all are the same."""
    if total < FEWEST:
        raise ValueError(
            f"{folder} holds {total} clip{'s' if total > 1 else ''}; a map takes at least {FEWEST}. "
            "Recordings embedded with --level frame are drawn over time: --recording"
        )
    directions = normalised(clips.vectors)
    if (np.abs(directions - directions[0]) <= ROUNDING).all():
        raise ValueError(
            f"All {clips.num_rows} embeddings in {folder} point the same way, so there is nothing to map: the "
            "recordings are the same (silence?), or the model has collapsed."
        )


def draw_recording_of(stored: StoredEmbeddings, path: str, output):
    """Write the picture of a recording over time; ValueError if there is nothing to draw."""
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


def write_survey(survey: Survey, sounds: Sounds, model: str, duplicate: float, folder: Path):
    """Everything that is written of a map."""
    title = f"{survey.clips.num_rows} clips by {survey.method}, embedded by {model}"
    groups = groups_of(survey.labels)
    draw_map(survey.places, groups, title, folder / PICTURE)
    points = points_of(survey, groups, sounds)
    place_of = {int(number): place for place, number in enumerate(survey.numbers)}

    def listed(pair: Pair, which: int) -> Listed:
        return Listed(pair.parts[which].title, place_of.get(pair.numbers[which]))

    write_map_page(
        folder / PAGE,
        title,
        points,
        [(name, colour, int(mask.sum())) for name, (colour, mask) in groups.items()],
        [(listed(pair, 0), listed(pair, 1), pair.similarity) for pair in survey.pairs],
        [(Listed(points[place].name, place), points[place].label, mean) for place, mean in survey.outliers],
        notes_of(survey, duplicate),
    )
    columns = ("path", "start", "end")
    head = (*columns, *(f"other_{name}" for name in columns), "similarity")
    write_table(folder / DUPLICATES, head, [(*a, *b, f"{s:.6f}") for _, (a, b), s in survey.pairs])
    rows = [(*survey.part(i), survey.labels[i], f"{mean:.6f}") for i, mean in survey.outliers]
    write_table(folder / OUTLIERS, (*columns, "label", "similarity"), rows)


def points_of(survey: Survey, groups: dict, sounds: Sounds) -> list[Point]:
    """All clips of the map for the page. Sounds of duplicates and outliers are put into it first."""
    clips, found = survey.clips, survey.found
    colours = np.full(clips.num_rows, "", object)
    for colour, mask in groups.values():
        colours[mask] = colour
    listed = [number for pair in survey.pairs for number in pair.numbers]
    first = [*np.flatnonzero(np.isin(survey.numbers, listed)), *(place for place, _ in survey.outliers)]
    others = np.random.default_rng(0).permutation(clips.num_rows)  # from all over the data
    order = dict.fromkeys(int(i) for i in [*first, *others])
    with tqdm(order, desc="sounds", unit="clip", dynamic_ncols=True) as bar:
        addresses = {i: sounds.address(*survey.part(i)) for i in bar}
    points = []
    for i in range(clips.num_rows):
        near = zip(found.paths[i], found.starts[i], found.ends[i], found.similarities[i], strict=True)
        nearest = [(Part(*part).title, round(float(s), 4)) for *part, s in near if np.isfinite(s)][:NEIGHBOURS]
        x, y = map(float, survey.places[i])
        about = survey.part(i)
        points.append(Point(x, y, colours[i], about.title, about.path, survey.labels[i], addresses[i], nearest))
    return points


def notes_of(survey: Survey, duplicate: float) -> list[str]:
    """What to know about the map, the duplicates and the outliers."""
    count = survey.clips.num_rows
    which = f"{count} of {survey.total} clips, drawn at random. " if count < survey.total else ""
    return [
        f"{which}By {survey.method}: clips that are close to each other here are alike to the model; distances "
        f"between groups mean little. Sounds in this page are cut after {MOST_SECONDS:g} seconds.",
        f"Pairs whose vectors point the same way: cosine {duplicate:g} or more. Each clip of the map was compared "
        f"with all. {len(survey.pairs)} found, at most {MOST_DUPLICATES} for a clip; all of them are in {DUPLICATES}.",
        f"The clips of the map that are least like the {NEIGHBOURS} nearest ones: their mean cosine to these. They "
        f"are in {OUTLIERS}, too.",
    ]


def write_table(path: Path, head: tuple[str, ...], rows: list[tuple]):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
