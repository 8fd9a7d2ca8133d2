"""
Thousands of damaged and hostile checkpoints, folders, sounds and lists, and what the package makes of them.

    python benchmarks/fuzz.py --cases 2000 --seed 0
    python benchmarks/fuzz.py --case 123 --seed 0    # one of them again, with all that is known about it

Each is read correctly, or refused with an error that names the file or key. Anything else is a failure, and the exit
status is 1: an error of another kind, a result that differs from an independent reading, no end, code that was run,
files left behind. The folders of such cases are kept, with what happened.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path


# Read when these libraries are imported. Nothing here asks the network.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
os.environ.setdefault("HF_HOME", str(Path(tempfile.gettempdir(), "ssast-fuzz-home")))

from fuzzing.runner import KINDS, Limits, kind_of, run_cases
from fuzzing.seeds import make_seeds
from fuzzing.verdicts import BAD, GOOD, Verdict
from huggingface_hub.utils import tqdm


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="how many")
    parser.add_argument(
        "--seed", type=int, default=0, help="of all that is random; a case depends on it and its number"
    )
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first case, to go on from an interrupted run"
    )
    parser.add_argument("--case", type=int, help="run this one alone, and say all that is known")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="how long one case may take")
    parser.add_argument("--memory", type=int, default=Limits.memory, help="bytes that one case may take")
    parser.add_argument(
        "--output_dir", type=Path, default=Path("benchmarks/results/fuzz"), help="for cases that failed"
    )
    arguments = parser.parse_args(argv)

    numbers = range(arguments.first, arguments.first + arguments.cases)
    if arguments.case is not None:
        numbers = range(arguments.case, arguments.case + 1)
    kept = (arguments.output_dir / f"seed-{arguments.seed}").resolve()
    kept.mkdir(parents=True, exist_ok=True)
    limits = Limits(arguments.seconds, arguments.memory)
    counts = {kind: Counter() for kind in KINDS}
    with tempfile.TemporaryDirectory() as seeds:
        make_seeds(Path(seeds))
        verdicts = run_cases(numbers, arguments.seed, Path(seeds), kept, limits, arguments.processes)
        for number, verdict in tqdm(verdicts, total=len(numbers), desc="cases", disable=len(numbers) == 1):
            counts[kind_of(number)][verdict.word] += 1
            if verdict.word in BAD:
                note(kept / str(number), number, arguments.seed, verdict)
            if verdict.word in BAD or arguments.case is not None:
                tqdm.write(describe(number, verdict, lines=2 if arguments.case is None else None))
    print(table(counts))
    return int(any(count[word] for count in counts.values() for word in BAD))


def describe(number: int, verdict: Verdict, lines: int | None) -> str:
    """One case in words: what it was, what became of it, and the first and last of the reasons."""
    reason = verdict.reason.strip().splitlines()
    if lines is not None and len(reason) > lines:
        reason = [reason[0], reason[-1]]
    text = "\n    ".join([f"{number} {kind_of(number)} ({verdict.description}): {verdict.word}", *reason])
    return text if lines is None else "\n".join(line[:300] for line in text.splitlines())


def note(folder: Path, number: int, seed: int, verdict: Verdict):
    """Keep what is known about a case beside its input."""
    folder.mkdir(exist_ok=True)
    again = f"python benchmarks/fuzz.py --seed {seed} --case {number}"
    text = f"{describe(number, verdict, None)}\n\nAgain: {again}\n"
    (folder / "verdict.txt").write_text(text, encoding="utf-8", errors="replace")


def table(counts: dict[str, Counter]) -> str:
    """Kinds of input, and how many of each ended how, as a table in Markdown."""
    rows = [["kind of input", "tried", *GOOD, *BAD]]
    total = sum(counts.values(), Counter())
    for kind, count in (*counts.items(), ("all", total)):
        if count:
            rows.append([kind, str(count.total()), *(str(count[word]) for word in (*GOOD, *BAD))])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
