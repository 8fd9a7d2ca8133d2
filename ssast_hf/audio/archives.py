"""Audio files in tar archives: listed, or read from beginning to end."""

import tarfile
from collections.abc import Iterator

import fsspec

from ..storage.guards import UnreadableFile, reading
from .decoding import AUDIO_SUFFIXES


class WholeHeader(tarfile.TarInfo):
    """A member's header. What comes after a damaged or missing one would silently be left out otherwise."""

    @classmethod
    def fromtarfile(cls, archive):
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # unknown to typeshed
            raise  # the mark at the end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, at byte {archive.offset}") from error


def list_archives(archives: list[str]) -> list[dict]:
    """Where in tar archives the audio files lie; UnreadableFile if an archive is damaged."""
    rows = []
    for archive in archives:
        with (
            reading(archive, "a whole tar archive without compression"),
            tarfile.open(archive, "r:", tarinfo=WholeHeader) as members,
        ):
            for member in members:
                if is_audio(member):
                    name = name_of(archive, member)
                    if member.issparse():
                        raise UnreadableFile(f"{name} is a sparse file. Stream it, or pack it without --sparse.")
                    rows.append({"path": name, "archive": archive, "offset": member.offset_data, "size": member.size})
    return rows


def read_archives(archives: list[str]) -> Iterator[dict]:
    """The audio files in local or remote tar archives, rows of a stream; UnreadableFile if an archive is damaged."""
    for archive in archives:
        with (
            reading(archive, "a whole tar archive"),
            fsspec.open(archive, "rb") as file,
            tarfile.open(fileobj=file, mode="r|*", tarinfo=WholeHeader) as members,
        ):
            for member in members:
                content = members.extractfile(member) if is_audio(member) else None
                if content is not None:
                    yield {"name": name_of(archive, member), "path": None, "bytes": content.read()}


def name_of(archive: str, member: tarfile.TarInfo) -> str:
    """A member's name for messages; bytes that are no UTF-8 are replaced."""
    return f"{archive}/{member.name}".encode(errors="surrogateescape").decode(errors="replace")


def is_audio(member: tarfile.TarInfo) -> bool:
    return member.isfile() and member.name.lower().endswith(AUDIO_SUFFIXES)
