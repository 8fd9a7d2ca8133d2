"""Damaged and hostile inputs are read correctly or refused clearly, and the fuzzer notices what is not."""

from pathlib import Path

import pytest
from fresh import FreshProcess

import ssast_hf


BENCHMARKS = Path(ssast_hf.__file__).parents[1] / "benchmarks"
FUZZ = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import fuzz; sys.exit(fuzz.main(sys.argv[1:]))"
# In place of the package, functions that do what must not happen, each in its own case.
FAULTY = f"""
import os, signal, sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
import fuzz
from fuzzing import runner
from fuzzing.verdicts import CANARY, Trial

def fail(error):
    raise error

def kind(run, check=lambda result: None, is_intact=False):
    return lambda random, folder, seeds: Trial("input", lambda: run(folder), check, {{"name"}}, is_intact)

runner.KINDS.clear()
runner.KINDS.update(
    read=kind(lambda folder: None),
    refused=kind(lambda folder: fail(ValueError("name is bad"))),
    another_error=kind(lambda folder: fail(TypeError("name is bad"))),
    unclear=kind(lambda folder: fail(ValueError("it is bad"))),
    long=kind(lambda folder: fail(ValueError("name\\n" * 100))),
    crash=kind(lambda folder: os.kill(os.getpid(), signal.SIGSEGV)),
    memory=kind(lambda folder: bytearray(1 << 34)),
    wrong=kind(lambda folder: None, lambda result: "it differs"),
    unreadable=kind(lambda folder: None, lambda result: fail(ValueError("no"))),
    intact=kind(lambda folder: fail(ValueError("name is bad")), is_intact=True),
    endless=kind(lambda folder: time.sleep(100)),
    executed=kind(lambda folder: (folder / CANARY).touch()),
    left=kind(lambda folder: [(folder / "out" / "result").touch(), fail(ValueError("name is bad"))]),
)
fuzz.make_seeds = lambda folder: None
status = fuzz.main(["--cases", "13", "--seconds", "10", "--output_dir", "faulty"])
assert status == 1
"""
WORDS = "read refused uncaught wrong endless executed left".split()
EXPECTED = {
    "read": "read",
    "refused": "refused",
    "another_error": "uncaught",
    "unclear": "uncaught",
    "long": "uncaught",
    "crash": "uncaught",
    "memory": "uncaught",
    "wrong": "wrong",
    "unreadable": "wrong",
    "intact": "wrong",
    "endless": "endless",
    "executed": "executed",
    "left": "left",
}


def test_every_input_is_read_correctly_or_refused_clearly(tmp_path):
    arguments = ["--cases", 300, "--seed", 0, "--processes", 1]
    process = FreshProcess(FUZZ, arguments, tmp_path, has_package=True, HF_HOME=str(tmp_path / "hf_home"))
    process.process.join()
    printed = (process.scratch / "stdout").read_text()
    assert process.process.exitcode == 0, printed + process.errors()
    assert "| all | 300 |" in printed


@pytest.fixture(scope="module")
def faulty_table(tmp_path_factory):
    """Kind -> the numbers of its row."""
    folder = tmp_path_factory.mktemp("faulty")
    printed = FreshProcess(FAULTY, [], folder, has_package=True, HF_HOME=str(folder / "hf_home")).finish()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]
    kept = sorted(int(path.parent.name) for path in folder.glob("faulty/seed-0/*/verdict.txt"))
    return {row[0]: row[2:] for row in rows}, kept


@pytest.mark.parametrize("kind", EXPECTED)
def test_what_must_not_happen_is_noticed(faulty_table, kind):
    numbers = dict(zip(WORDS, faulty_table[0][kind], strict=True))
    assert {word: int(number) for word, number in numbers.items() if number != "0"} == {EXPECTED[kind]: 1}


def test_cases_that_fail_are_kept(faulty_table):
    assert faulty_table[1] == list(range(2, len(EXPECTED)))
