"""Recordings that could not be used: counted, listed, and too many of them an error."""

from pathlib import Path


# A stream's share of unusable recordings means nothing before so many were read.
ENOUGH = 1000


class BadFiles:
    """
    Args:
        path (`str` or `Path`): The list to write: a name and a reason per line, separated by a tab. What an
            interrupted run listed there counts.
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

    def names(self) -> set[str]:
        """The recordings listed so far, by this process and others."""
        if not self.path.exists():
            return set()
        return {line.split("\t")[0] for line in self.path.read_text(encoding="utf-8").splitlines()}

    def add(self, skipped, num_used: int, is_training: bool = True):
        """
        Take note of unusable recordings, pairs of name and reason, met while `num_used` others were read.

        Raises:
            ValueError: If there are too many.
        """
        if is_training:  # validation data are the same each time
            self.seen += num_used + len(skipped)
            self.skipped += len(skipped)
        if not skipped:
            return
        reason = skipped[-1][1]
        if self.raise_at_once:
            raise ValueError(f"A recording cannot be used: {reason}. (--on_bad_file skip goes on without it.)")
        known = self.names()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Appended in one piece, since other processes write to the same file.
        with self.path.open("a", encoding="utf-8") as file:
            file.write(
                "".join(
                    f"{clean(name)}\t{clean(reason.removeprefix(name))}\n"
                    for name, reason in dict(skipped).items()
                    if clean(name) not in known
                )
            )
        count, total = self.skipped, max(self.seen, ENOUGH)
        if self.total is not None:
            count, total = len(self.names()), self.total
        if count > self.max_fraction * total or count >= total:
            raise ValueError(
                f"{count} of {total} recordings cannot be used, more than --max_bad_fraction {self.max_fraction:g} "
                f"allows; they are listed in {self.path}. Repair or remove them and delete that list, or allow for "
                f"more. The last one: {reason}"
            )


def clean(text: str) -> str:
    """Text for one field of one line."""
    return " ".join(text.split())
