"""Recordings that could not be used and windows that were too quiet: counted and listed, and too many an error."""

from pathlib import Path


# A stream's share of unusable recordings means nothing before so many were read.
ENOUGH = 1000
# Beside the list of bad files.
QUIET_LIST = "quiet_windows.txt"


class Quiet(str):
    """The reason for leaving out a window that is no bad one: it is quieter than wanted."""


class BadFiles:
    """
    Args:
        path (`str` or `Path`): The list to write: a name and a reason per line, separated by a tab. What an
            interrupted run listed there counts. Quiet windows have a list of their own beside it.
        max_fraction (`float`): Which share of the recordings may be unusable.
        total (`int`, *optional*): How many recordings there are; unknown for a stream.
        raise_at_once (`bool`): Whether the first one is an error.
    """

    def __init__(self, path, max_fraction: float, total: int | None = None, raise_at_once: bool = False):
        self.path = Path(path)
        self.max_fraction = max_fraction
        self.total = total
        self.raise_at_once = raise_at_once
        self.seen = 0
        self.skipped = 0

        self.quiet_path = self.path.with_name(QUIET_LIST)
        self.known_quiet: set[str] | None = None

    def names(self) -> set[str]:
        """The recordings listed so far, by this process and others."""
        return names_in(self.path)

    def quiet_names(self) -> set[str]:
        """The quiet windows listed so far."""
        return names_in(self.quiet_path)

    def add(self, skipped, num_used: int, is_training: bool = True):
        """
        Take note of unusable recordings, pairs of name and reason, met while `num_used` others were read. Windows
        whose reason is a [`Quiet`] are listed, but do not count.

        Raises:
            ValueError: If there are too many.
        """
        self.add_quiet({name: reason for name, reason in skipped if isinstance(reason, Quiet)})
        skipped = [(name, reason) for name, reason in skipped if not isinstance(reason, Quiet)]
        if is_training:  # validation data are the same each time
            self.seen += num_used + len(skipped)
            self.skipped += len(skipped)
        if not skipped:
            return
        reason = skipped[-1][1]
        if self.raise_at_once:
            raise ValueError(
                f"A recording cannot be used: {reason.rstrip('.')}. (--on_bad_file skip goes on without it.)"
            )
        append(self.path, dict(skipped), self.names())
        count, total = self.skipped, max(self.seen, ENOUGH)
        if self.total is not None:
            count, total = len(self.names()), self.total
        if count >= total:
            raise ValueError(
                f"None of the {total} recordings can be used; they are listed in {self.path}. Repair or replace them "
                f"and delete that list. The last one: {reason}"
            )
        if count > self.max_fraction * total:
            raise ValueError(
                f"{count} of {total} recordings cannot be used, more than --max_bad_fraction {self.max_fraction:g} "
                f"allows; they are listed in {self.path}. Repair or remove them and delete that list, or allow for "
                f"more. The last one: {reason}"
            )

    def add_quiet(self, windows: dict[str, str]):
        """List windows that are too quiet, by name, each once."""
        if not windows:
            return
        if self.known_quiet is None:
            self.known_quiet = self.quiet_names()  # of a run that went on
        append(self.quiet_path, windows, self.known_quiet)
        self.known_quiet |= {clean(name) for name in windows}


def names_in(path: Path) -> set[str]:
    """What a list has so far."""
    if not path.exists():
        return set()
    return {line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()}


def append(path: Path, reasons: dict[str, str], known: set[str]):
    """Add to a list, in one piece since other processes write to the same file, what is not in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(
            "".join(
                f"{clean(name)}\t{clean(reason.removeprefix(name))}\n"
                for name, reason in reasons.items()
                if clean(name) not in known
            )
        )


def clean(text: str) -> str:
    """Text for one field of one line."""
    return " ".join(text.split())
