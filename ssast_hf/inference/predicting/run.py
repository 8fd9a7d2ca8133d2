"""What the command `predict` does: recordings in, a table of answers out."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...assets import named_model
from ...audio.decoding import audio_packages
from ...storage.writing import check_output, written_whole
from ..embedding.reading import Item, Task, WindowReader, read_windows
from ..options import one_of
from ..windowed import Piece
from .predictor import Predictor, check_finite
from .sources import load_sources
from .table import Table


SUFFIXES = (".csv", ".jsonl")
# Processes that decode: on a CPU, which the model keeps busy, and beside an accelerator.
WORKERS_ON_CPU, WORKERS_BESIDE = 1, 4


def predict(
    model: str,
    sources: list[str],
    output: str,
    num_workers: int | None = None,
    on_bad_file: str = "skip",
    overwrite: bool = False,
    dataset_split: str = "train",
    dataset_config_name: str | None = None,
    audio_column: str | None = None,
    **options,
) -> list[str]:
    """
    Write what a model with a head says of recordings.

    Args:
        model (`str`): Folder or name on the Hub.
        sources (`list[str]`): As for [`load_sources`].
        output (`str`): A `.csv` or `.jsonl` file.
        num_workers (`int`, *optional*): Processes that decode.
        on_bad_file (`str`, defaults to `"skip"`): What cannot be used is listed, or (`"error"`) ends the run.
        overwrite (`bool`, defaults to `False`): Whether `output` may be replaced.
        dataset_split, dataset_config_name, audio_column: As for pretraining.
        options: Those of the [`Predictor`].

    Returns:
        `list[str]`: A report.

    Raises:
        ValueError: If an option, the model or a source cannot be used, or not one of the recordings.
        OSError: If something cannot be read or written.
    """
    audio_packages()  # before the work begins, and not first in a worker
    one_of("--on_bad_file", on_bad_file, ("skip", "error"))
    target = Path(output)
    skipped_list = target.with_name(f"{target.stem}_skipped_files.txt")
    if target.suffix not in SUFFIXES:
        raise ValueError(f"--output {output} must end in {' or '.join(SUFFIXES)}.")
    for source in [None, *(source for source in sources if Path(source).is_file())]:
        check_output(target, overwrite, source, is_folder=False)
    recordings = load_sources(sources, dataset_split, dataset_config_name, audio_column)
    predictor = Predictor(named_model(model), **options)
    if num_workers is None:
        num_workers = WORKERS_ON_CPU if predictor.head.model.device.type == "cpu" else WORKERS_BESIDE
    with written_whole(target) as path:
        reader = WindowReader(recordings, predictor, path.parent / "decoded")
        items = (Item(0, number, recordings[number]) for number in range(len(recordings)))
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            table = Table(path, file)
            seconds, empty = 0.0, 0
            bad: list[tuple[str, str]] = []  # of a file that is named twice, two
            windows = read_windows(reader, items, predictor, num_workers)
            for task, problem, count in shown(write_rows(predictor, windows, table), len(recordings)):
                reader.finish(task.name)
                if problem is None:
                    seconds += task.num_samples / reader.sampling_rate
                    empty += count == 0
                elif on_bad_file == "error":
                    raise ValueError(f"{problem.rstrip('.')}. (--on_bad_file skip goes on without it.)")
                else:
                    bad.append((task.name, problem))
        if len(bad) == len(recordings):
            raise ValueError(f"None of the {len(recordings)} recordings can be used. The first: {bad[0][1]}")
    report = [f"{len(recordings) - len(bad):,} recordings, {seconds:,.4g} s, {table.count:,} rows: {target}"]
    if empty:
        report.append(f"{empty:,} of them without an answer" + above(predictor))
    skipped_list.unlink(missing_ok=True)  # of an earlier run
    if bad:
        with written_whole(skipped_list) as path:
            lines = "".join(f"{line_of(*each)}\n" for each in bad)
            path.write_text(lines, encoding="utf-8", errors="surrogateescape")
        report.append(f"{len(bad):,} could not be used: see {skipped_list}")
    return report


def write_rows(
    predictor: Predictor, windows: Iterable[tuple[Task, np.ndarray | None]], table: Table
) -> Iterator[tuple[Task, str | None, int]]:
    """
    Add the rows of recordings to a table. Yields the last task of each, what is wrong with it if it cannot be used, in
    which case none of its rows stays, and otherwise how many there are.
    """
    pieces = (Piece(task, task.window, samples) for task, samples in windows)
    answers = problem = None
    for piece, scores in predictor.encode_in_order(pieces):
        task = piece.clip
        problem = problem or task.problem
        try:
            if problem is None:
                check_finite(scores, task.name)
                answers = answers or predictor.answers(task.num_samples)
                for answer in answers.add(task.window, predictor.seconds((task.begin, task.end)), scores):
                    table.add(task.name, answer)
        except ValueError as error:
            problem = str(error)
        if not task.is_last:
            continue
        if problem is not None:
            table.go_back()
        elif answers is not None:
            for answer in answers.finish():
                table.add(task.name, answer)
        count = table.count - table.place[1]
        table.mark()
        yield task, problem, count
        answers = problem = None


def shown(recordings: Iterable, total: int) -> Iterator:
    """A bar of progress while recordings are done; running out of memory says what to do."""
    try:
        yield from tqdm(recordings, desc="predicting", unit="clip", total=total, smoothing=0, dynamic_ncols=True)
    except torch.OutOfMemoryError as error:
        what = str(error).splitlines()[0]
        raise MemoryError(f"Out of memory. Lower --batch_size, or --window. ({what})") from error


def above(predictor: Predictor) -> str:
    return "" if predictor.threshold is None else f" above {predictor.threshold:g} (--threshold)"


def line_of(name: str, problem: str) -> str:
    """A recording and what is wrong with it, separated by a tab."""
    return "\t".join(" ".join(text.split()) for text in (name, problem.removeprefix(name)))
