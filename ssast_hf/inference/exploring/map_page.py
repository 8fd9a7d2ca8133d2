"""The page of a map: points that name their clips and play them, and tables of duplicates and outliers."""

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from ...assets import FOLDER
from ...storage.pages import document


SIDE = 640  # of the map, in its own units
MARGIN = 14
# Of a table; the rest is in the CSV file.
MOST_ROWS = 100
STYLE = """
.map { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start }
.map svg { flex: 1 1 28rem; max-width: 42rem; border: 1px solid #ddd; border-radius: .5rem }
.side { flex: 1 1 14rem; min-width: 0 }
circle { stroke: #fff; stroke-width: .6; cursor: pointer } circle:hover { stroke: #222; stroke-width: 1.5 }
circle.chosen { stroke: #000; stroke-width: 2.5 }
.legend { list-style: none; padding: 0; margin-top: 0 }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%; margin-right: .5rem }
#tip { position: absolute; background: #222; color: #fff; padding: .15rem .5rem; border-radius: .3rem;
  font-size: .85rem; pointer-events: none; max-width: 30rem }
#chosen { background: #f6f1f8; border-radius: .5rem; padding: .7rem 1rem } #chosen h2 { margin: 0; font-size: 1.1rem }
#chosen h2, #path { overflow-wrap: anywhere } #path { color: #555; font-size: .85rem }
#nearest { margin: .2rem 0 0; padding-left: 1.2rem; font-size: .9rem; overflow-wrap: anywhere }
[hidden] { display: none !important }
button { font: inherit; border: 1px solid #bbb; border-radius: .3rem; background: #fff; cursor: pointer }
"""


@dataclass
class Point:
    """A clip on the page: `x` and `y` from 0 to 1, a colour, and what is said of it."""

    x: float
    y: float
    colour: str
    name: str
    path: str
    label: str
    sound: str | None
    nearest: list[tuple[str, float]]

    def data(self) -> dict:
        names = ("name", "path", "label", "sound", "nearest")
        return {name: getattr(self, name) for name in names}


@dataclass
class Listed:
    """A clip in a table, with the number of its point if it is on the map."""

    name: str
    point: int | None

    def html(self) -> str:
        button = (
            f'<button data-clip="{self.point}" title="play it">&#9654;</button> ' if self.point is not None else ""
        )
        return button + escape(self.name)


def write_map_page(
    path: Path,
    lead: str,
    points: list[Point],
    legend: list[tuple[str, str, int]],
    duplicates: list[tuple[Listed, Listed, float]],
    outliers: list[tuple[Listed, str, float]],
    notes: list[str],
):
    """
    Write the page.

    Args:
        path (`Path`): Where to.
        lead (`str`): What it shows, text.
        points (`list[Point]`): All clips on the map.
        legend (`list`): Names, colours and numbers of clips; one or none is not shown.
        duplicates (`list`): Pairs of clips and their similarity.
        outliers (`list`): Clips, their labels, and their mean similarity to the nearest ones.
        notes (`list[str]`): What to know about the map, the duplicates and the outliers, one text each.
    """
    size = float(np.clip(100 / np.sqrt(len(points)), 3.5, 8))
    circles = "".join(
        f'<circle data-clip="{i}" cx="{MARGIN + point.x * (SIDE - 2 * MARGIN):.1f}" '
        f'cy="{SIDE - MARGIN - point.y * (SIDE - 2 * MARGIN):.1f}" r="{size:.1f}" fill="{point.colour}"/>'
        for i, point in enumerate(points)
    )
    colours = "".join(
        f'<li><i style="background: {colour}"></i>{escape(name)} ({count})</li>' for name, colour, count in legend
    )
    # So that no text in it ends the element that it is in.
    data = json.dumps([point.data() for point in points]).replace("<", "\\u003c")
    of_map, of_duplicates, of_outliers = map(escape, notes)
    body = f"""<h1>Map of embedded clips</h1>
<p class="lead">{escape(lead)}</p>
<div class="map">
<svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="map of {len(points)} clips">{circles}</svg>
<div class="side">
{f'<ul class="legend">{colours}</ul>' if len(legend) > 1 else ""}
<p>Point at a clip to see its name; click to hear it.</p>
<div id="chosen" hidden><h2 id="name"></h2><div id="label"></div><audio id="player" controls></audio>
<p id="silent">Its sound was not found.</p><div id="path"></div>
<p style="margin-bottom: 0">Nearest:</p><ol id="nearest"></ol></div>
</div>
</div>
<p><small>{of_map}</small></p>
<h2>Duplicates</h2>
<p>{of_duplicates}</p>
{table(("clip", "clip", "similarity"), [(a.html(), b.html(), f"{s:.5f}") for a, b, s in duplicates])}
<h2>Outliers</h2>
<p>{of_outliers}</p>
{table(("clip", "label", "similarity"), [(a.html(), escape(label), f"{s:.3f}") for a, label, s in outliers])}
<div id="tip" hidden></div>
<script type="application/json" id="clips">{data}</script>"""
    is_linked = any(point.sound and not point.sound.startswith("data:") for point in points)
    media = "data: 'self' file:" if is_linked else "data:"
    script = (FOLDER / "map.js").read_text(encoding="utf-8")
    path.write_text(document("Map of embedded clips", body, STYLE, script, media), encoding="utf-8")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table of HTML cells, the last column of numbers; nothing without rows."""
    if not rows:
        return ""
    lines = "\n".join(
        f'<tr>{"".join(f"<td>{cell}</td>" for cell in row[:-1])}<td class="number">{row[-1]}</td></tr>'
        for row in rows[:MOST_ROWS]
    )
    titles = "".join(f"<th>{each}</th>" for each in head)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'
