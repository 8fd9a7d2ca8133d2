"""What became of one input: read correctly, refused with a clear error, or one of the things that must not happen."""

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


GOOD = ("read", "refused")
BAD = ("uncaught", "wrong", "endless", "executed", "left behind")
# A list of everything that is wrong with a checkpoint has up to 42 lines.
MOST_LINES, MOST_CHARACTERS = 42, 8000
# What code in an input creates, and what links in an input lead to; both beside the input, never in it.
CANARY, SECRET = "canary", "not-for-publication"
SECRET_TEXT = b"Nobody may publish this."


@dataclass
class Trial:
    """
    One input and what to do with it.

    Attributes:
        description: What was done to the input.
        run: Calls the package.
        check: What differs between that result and an independent reading, in words, or `None`. It may raise, which
            means that the independent reader refuses what the package accepts.
        names: One of these texts is in a clear error: a file or a key.
        is_intact: Whether nothing was damaged, so that a refusal would be wrong.
        refusals: Errors about single recordings that `run` met, which must be as clear.
    """

    description: str
    run: Callable[[], Any]
    check: Callable[[Any], str | None]
    names: set[str]
    is_intact: bool = False
    refusals: list[Exception] = field(default_factory=list)


@dataclass
class Verdict:
    """What became of a trial: one of [`GOOD`] or [`BAD`], why, and what the input was."""

    word: str
    reason: str
    description: str


def judge(trial: Trial, folder: Path) -> Verdict:
    """Run a trial in its `folder`, which holds nothing but the input and two empty folders, `out` and `tmp`."""
    word, reason = outcome(trial)
    remains = [str(path.relative_to(folder)) for name in ("out", "tmp") for path in (folder / name).iterdir()]
    if word == "read" and remains and all(Path(name).parts[0] == "out" for name in remains):
        remains = [name for name in remains if Path(name).name != "result"]
    if (folder / CANARY).exists():
        word, reason = "executed", "code in the input was run"
    elif remains and word in GOOD:
        word, reason = "left behind", f"{', '.join(remains)} after: {reason}"
    return Verdict(word, reason, trial.description)


def outcome(trial: Trial) -> tuple[str, str]:
    try:
        result = trial.run()
    except (ValueError, OSError, ImportError) as error:
        if unclear := complaint(error, trial.names):
            return "uncaught", unclear
        return ("wrong", f"intact, but refused: {error}") if trial.is_intact else ("refused", str(error))
    except BaseException:
        return "uncaught", traceback.format_exc()
    for refusal in trial.refusals:
        if unclear := complaint(refusal, trial.names):
            return "uncaught", unclear
        if trial.is_intact:
            return "wrong", f"intact, but refused: {refusal}"
    try:
        difference = trial.check(result)
    except Exception:
        difference = f"the independent reader refuses it:\n{traceback.format_exc()}"
    return ("wrong", difference) if difference else ("read", "")


def complaint(error: Exception, names: set[str]) -> str:
    """What makes an error unclear, with its traceback; empty if it is clear."""
    message = str(error)
    if len(message.splitlines()) > MOST_LINES or len(message) > MOST_CHARACTERS:
        problem = f"a message of {len(message.splitlines())} lines, {len(message)} characters"
    elif "Traceback" in message:
        problem = "a traceback in the message"
    elif not any(name in message for name in names) and getattr(error, "filename", None) is None:
        problem = "a message that names neither file nor key"
    else:
        return ""
    return f"{problem}:\n{''.join(traceback.format_exception(error))[-4000:]}"


def names_in(folder: Path) -> set[str]:
    """The names of files below a folder, without following links."""
    return {name for _, folders, files in os.walk(folder) for name in (*folders, *files)}
