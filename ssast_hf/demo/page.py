"""The demonstration as one HTML page that needs nothing else: pictures and sounds are in it, and it asks nobody."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..storage.pages import document, embedded_file
from .clips import Clip
from .probe import Guess


STYLE = """
.facts { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none }
.facts li { flex: 1 1 13rem; background: #f6f1f8; border-radius: .5rem; padding: .7rem 1rem }
.facts b { display: block; font-size: 1.5rem; color: #7b2382 }
.right { color: #17692c } .wrong { color: #a02020 } pre { background: #f4f4f4; padding: .7rem 1rem; overflow-x: auto }
.credits { color: #555; font-size: .85rem }
"""


@dataclass
class Row:
    """What the page says of a clip: mean losses before and after, the clips that it is most like, and its label."""

    clip: Clip
    before: float
    after: float
    neighbours: list[tuple[Clip, float]]
    guess: Guess | None


def player(clip: Clip) -> str:
    return f'<audio controls preload="metadata" src="{embedded_file(clip.path)}" title="{escape(clip.title)}"></audio>'


def table_row(row: Row) -> str:
    """One row of the table of all clips."""
    neighbours = ", ".join(f"{escape(clip.title)} ({alike:+.2f})" for clip, alike in row.neighbours)
    label = "<small>too short to halve</small>"
    if row.guess is not None:
        is_right = row.guess.label == row.clip.name
        word = "right" if is_right else "wrong"
        label = (
            f'<span class="{word}">{escape(row.guess.label.replace("_", " "))} {row.guess.score:.0%}, {word}</span>'
        )
    cells = [
        f"<td>{escape(row.clip.title)}</td>",
        f"<td>{player(row.clip)}</td>",
        f"<td>{'held out' if row.clip.is_held_out else 'learned from'}</td>",
        f'<td class="number">{row.before:.2f} &rarr; {row.after:.2f}</td>',
        f"<td>{neighbours}</td>",
        f"<td>{label}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def write_page(path: Path, model: str, steps: int, rows: list[Row], pictures: dict[str, Path], curve: Path):
    """
    Write the page.

    Args:
        path (`Path`): Where to.
        model (`str`): What was continued, for people.
        steps (`int`): For how many steps.
        rows (`list[Row]`): One for each clip.
        pictures (`dict[str, Path]`): Names of clips that were held out, and their pictures, PNG.
        curve (`Path`): The picture of the losses.
    """
    by_name = {row.clip.name: row for row in rows}
    held_out = [by_name[name] for name in pictures]
    before, after = (
        sum(losses) / len(held_out) for losses in zip(*((r.before, r.after) for r in held_out), strict=True)
    )
    better = sum(row.after < row.before for row in held_out)
    guesses = {row.clip.name: row.guess.label for row in rows if row.guess is not None}
    right = sum(name == label for name, label in guesses.items())
    figures = "".join(
        f'<figure><img src="{embedded_file(pictures[row.clip.name])}" '
        f'alt="spectrograms of the {escape(row.clip.title)}">'
        f"<figcaption>{player(row.clip)}<br>The {escape(row.clip.title)}. It did not learn from it in these {steps} "
        f"steps. Loss {row.before:.2f} before, {row.after:.2f} after.</figcaption></figure>"
        for row in held_out
    )
    makers = "".join(f"<li>{escape(row.clip.title)}: {escape(row.clip.credit)}</li>" for row in rows)
    body = f"""<h1>SSAST learns from sounds that nobody labelled</h1>
<p class="lead">{escape(model)} went on learning from {len(rows) - len(held_out)} recordings for {steps} steps. Most
of each spectrogram was hidden, and it guessed what was there. Here is what became of it.</p>
<ul class="facts">
<li><b>{before:.2f} &rarr; {after:.2f}</b>mean loss on {len(held_out)} clips that it did not learn from; lower is
better, and {better} of {len(held_out)} got better</li>
<li><b>{right} of {len(guesses)}</b>clips whose second half gets the right name from a classifier that heard the first
half; by chance 1 of {len(guesses)}</li>
<li><b>stock AST</b>is what that classifier was exported to: plain transformers labelled the clips, without any code of
this package</li>
</ul>
<h2>Before and after, on clips that were held out</h2>
{figures}
<h2>While it learned</h2>
<figure><img src="{embedded_file(curve)}" alt="loss by step"></figure>
<h2>All clips</h2>
<p>Nearest are the two clips whose vectors point most nearly the same way (1: the same, 0: nothing in common, seen from
the mean of all clips). The label is that of the clip's second half.</p>
<div class="scroll"><table>
<thead><tr><th>clip</th><th>listen</th><th>part</th><th>loss</th><th>nearest</th><th>label</th></tr></thead>
<tbody>
{chr(10).join(map(table_row, rows))}
</tbody>
</table></div>
<h2>What this shows, and what not</h2>
<p>That the way works from end to end: a model was taken (of a checkpoint of the original, after its conversion),
trained, measured, exported and used. Eight recordings prove nothing about quality. The bundled nano model, which is
taken unless you name another, had heard the reader of the speech before, and none of the others. The classifier knows
how these very recordings sound, not roosters or dogs as such.</p>
<h2>With your own recordings</h2>
<pre>ssast-hf pretrain --model_name_or_path nano --train_data MY_FOLDER --output_dir continued</pre>
<h2>Recordings</h2>
<ul class="credits">{makers}</ul>"""
    path.write_text(document("SSAST learns from sounds", body, STYLE), encoding="utf-8")
