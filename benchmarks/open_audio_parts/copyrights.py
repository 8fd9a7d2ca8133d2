"""What a Debian package's copyright file says about one of its files (DEP-5), and which licences may train."""

import re
from dataclasses import dataclass


# In the terms of Debian's copyright files. Of "A or B" one will do, of "A and B" both have to.
FREE = re.compile(r"CC0(-\d.*)?|CC-BY(-SA)?-\d\.\d(\+|-\w+)?|MIT|Expat|BSD(-\d-clause|-like)?", re.IGNORECASE)


@dataclass(frozen=True)
class Terms:
    """Under which licence, by whom; `pattern` is the stanza's that decided, for whoever checks it."""

    licence: str
    authors: str
    pattern: str


def read_stanzas(text: str) -> list[Terms]:
    """The terms of what matches a pattern, for all patterns of a copyright file in their order."""
    stanzas = []
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in block.splitlines():
            if line[:1] not in (" ", "\t") and ":" in line:
                name, _, line = line.partition(":")
                name = name.strip().lower()
            fields.setdefault(name, []).append(line.strip())
        if "files" not in fields:
            continue
        patterns = " ".join(fields["files"]).split()
        licence = next(iter(fields.get("license", [""])), "")
        authors = "; ".join(filter(None, (one_author(line) for line in fields.get("copyright", []))))
        stanzas += [Terms(licence, authors, pattern) for pattern in patterns]
    return stanzas


def one_author(line: str) -> str:
    """A line of a copyright field without years and addresses."""
    line = re.sub(r"<[^>]*>|\(c\)|©|Copyright:?|\(\s*\)", "", line, flags=re.IGNORECASE)
    return re.sub(r"^[\d\s,\-\u2013]+", "", line).strip(" .,")


def terms_of(path: str, stanzas: list[Terms]) -> Terms | None:
    """The terms of a file of the source package: the last stanza that matches counts, as DEP-5 says."""
    return next((terms for terms in reversed(stanzas) if matches(path, terms.pattern)), None)


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern of DEP-5 names a path: `*` stands for anything, slashes too, and `?` for one character."""
    pieces = ({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern.removeprefix("./"))
    return re.fullmatch("".join(pieces), path) is not None


def is_free(licence: str) -> bool:
    """Whether material under a licence, as a copyright file names it, may train a model that is published."""
    choices = re.split(r"\s*,?\s*\bor\b\s*", licence.strip(), flags=re.IGNORECASE)
    return any(
        choice and all(FREE.fullmatch(part.strip()) for part in re.split(r"\band\b|,", choice, flags=re.IGNORECASE))
        for choice in choices
    )
