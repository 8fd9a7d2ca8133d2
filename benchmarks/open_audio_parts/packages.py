"""Recordings in Debian packages: which of them, under which terms."""

import hashlib
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .copyrights import Terms, is_free, read_stanzas, terms_of
from .recordings import SUFFIXES, Piece


# G.722 files, of 8 kB per second, are decoded so many bytes at a time: each decoder takes a while to start.
G722_BYTES = 1_200_000


@dataclass(frozen=True)
class Package:
    """
    Args:
        name (`str`): Debian's.
        kinds (`dict[str, str]`): Beginnings of installed paths -> kind of sound. The first that fits counts; what
            none fits is left out.
        installed, source (`str`): The beginning of paths as installed, and the same in the source package, to which
            the copyright file refers.
        left_out (`tuple[str, ...]`): Beginnings of installed paths that are not taken: what is evaluated on.
        terms ([`Terms`], *optional*): Read by us in the copyright file, where no program can: for all of `kinds`.
    """

    name: str
    kinds: dict[str, str]
    installed: str = ""
    source: str = ""
    left_out: tuple[str, ...] = ()
    terms: Terms | None = None


def asterisk(language: str, folder: str, licence: str, speaker: str) -> Package:
    terms = Terms(licence, speaker, "by language, as CREDITS says")
    return Package(
        f"asterisk-core-sounds-{language}-g722", {f"usr/share/asterisk/sounds/{folder}": "speech"}, terms=terms
    )


GAMES = "usr/share/games"
# Each copyright file was read. Left out as a whole, since GPL (or LGPL) is all that they offer: wesnoth-*,
# supertux-data, warzone2100-music, klettres-data, ktuberling-data, tuxpaint-stamps-default, colobot-common-sounds,
# oxygen-sounds. Public domain only: endless-sky-data. Of the other packages single files are left out by their terms.
PACKAGES = (
    asterisk("en", "en_US_f_Allison", "CC-BY-SA-3.0", "Allison Smith, for Digium"),
    asterisk("es", "es_MX_f_Allison", "CC-BY-SA-3.0", "Allison Smith, for Digium"),
    asterisk("fr", "fr_CA_f_June", "CC-BY-SA-3.0", "June Wallack, for Digium, Unlimitel and BGM Informatique"),
    asterisk("it", "it_IT", "CC-BY-3.0", "Carlo Flora"),
    asterisk("ru", "ru_RU", "CC-BY-3.0", "Maxim Topal, ivrvoice.ru"),
    Package(
        "festvox-ru",
        {"usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav": "speech"},
        terms=Terms("BSD-like", "Nickolay V. Shmyrev", "*"),
    ),
    Package(
        "0ad-data",
        {"audio/voice": "speech", "audio/music": "music", "audio": "sounds"},
        source="binaries/data/mods/public/",
    ),
    Package(
        "megaglest-data",
        {f"{GAMES}/megaglest/data/core/menu/music": "music", f"{GAMES}/megaglest": "sounds"},
        f"{GAMES}/megaglest/",
    ),
    Package(
        "redeclipse-data",
        {
            f"{GAMES}/redeclipse/data/sounds/music": "music",
            f"{GAMES}/redeclipse/data/sounds/announcer": "speech",
            f"{GAMES}/redeclipse/data/sounds/voice": "speech",
            f"{GAMES}/redeclipse": "sounds",
        },
        f"{GAMES}/redeclipse/",
    ),
    Package(
        "supertuxkart-data",
        {f"{GAMES}/supertuxkart/data/music": "music", f"{GAMES}/supertuxkart/data": "sounds"},
        f"{GAMES}/supertuxkart/",
    ),
    Package(
        "flare-game",
        {f"{GAMES}/flare/mods/fantasycore/music": "music", f"{GAMES}/flare": "sounds"},
        f"{GAMES}/flare/",
    ),
    Package(
        "naev-data",
        {"usr/share/naev/dat/snd/music": "music", "usr/share/naev/dat/snd/sounds": "sounds"},
        "usr/share/naev/",
    ),
    Package(
        "unknown-horizons",
        {
            "usr/share/unknown-horizons/content/audio/music": "music",
            "usr/share/unknown-horizons/content/audio/voice": "speech",
            "usr/share/unknown-horizons/content/audio": "sounds",
        },
        "usr/share/unknown-horizons/",
    ),
    Package(
        "hyperrogue-music",
        {"usr/share/hyperrogue/music": "music", "usr/share/hyperrogue/sounds": "sounds"},
        "usr/share/hyperrogue/",
    ),
    Package(
        "singularity-music",
        {f"{GAMES}/singularity/music": "music"},
        terms=Terms("CC-BY-SA-3.0", "Max McCracken", "the whole package"),
    ),
    Package("lomiri-sounds", {"usr/share/sounds/lomiri": "sounds"}, "usr/share/sounds/", "share/sounds/"),
    Package(
        "minetest-data",
        {f"{GAMES}/minetest/games/minetest_game": "sounds"},
        f"{GAMES}/minetest/games/minetest_game/",
        "mtg/",
        # A fire of ESC-10's is among these, by the same author: open_audio_overlap.py found it.
        left_out=(f"{GAMES}/minetest/games/minetest_game/mods/fire",),
    ),
    Package(
        "sound-theme-freedesktop",
        {"usr/share/sounds/freedesktop/stereo": "sounds"},
        "usr/share/sounds/freedesktop/",
    ),
    Package(
        "lincity-ng-data",
        {f"{GAMES}/lincity-ng/sounds": "sounds"},
        terms=Terms("CC-BY-SA-2.0", "LinCity-NG team", "sound effects, by the comment on *: also CC BY-SA 2"),
    ),
    Package(
        "sonic-pi-samples",
        {"usr/share/sonic-pi/samples": "instruments"},
        "usr/share/sonic-pi/samples/",
        "etc/samples/",
    ),
    Package(
        "hydrogen-drumkits",
        {"usr/share/hydrogen/data/drumkits": "instruments"},
        "usr/share/hydrogen/data/drumkits/",
        "drumkits/",
    ),
)


def download(name: str, folder: Path) -> Path:
    """
    The file of a Debian package, fetched if it is not there yet.

    Raises:
        OSError: If apt cannot; the message says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (found := sorted(folder.glob(f"{name}_*.deb"))):
        done = subprocess.run(["apt-get", "download", name], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise OSError(f"apt-get download {name} failed: {reason} (apt-get update first?)")
        found = sorted(folder.glob(f"{name}_*.deb"))
    return found[-1]


def unpack(name: str, cache: Path, names: tuple[str, ...]) -> Path:
    """A folder with a package's files whose names end so, and its copyright files; unpacked once."""
    target = cache / "unpacked" / name
    if target.exists():
        return target
    deb, part = download(name, cache / "debs"), target.with_name(f"{name}.part")
    part.mkdir(parents=True, exist_ok=True)
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        for member in archive:
            path = member.name.removeprefix("./")
            is_wanted = path.lower().endswith(names) or path.startswith("usr/share/doc/")
            if is_wanted and (member.isreg() or member.islnk()):
                archive.extract(member, part, filter="data")
    if process.returncode:
        raise OSError(f"{deb} cannot be unpacked: dpkg-deb ended with {process.returncode}. Delete it.")
    part.rename(target)
    return target


def pieces_of(package: Package, cache: Path) -> Iterator[Piece]:
    """The recordings of a package whose terms allow it, in the order of their paths."""
    folder = unpack(package.name, cache, (*SUFFIXES, ".zip"))
    stanzas = []
    if package.terms is None:
        notice = folder / "usr/share/doc" / package.name / "copyright"
        stanzas = read_stanzas(notice.read_text(encoding="utf-8", errors="replace"))
    yield from in_chunks(allowed_ones(package, folder, stanzas))


def allowed_ones(package: Package, folder: Path, stanzas: list[Terms]) -> Iterator[Piece]:
    """The files of an unpacked package that are of some kind and whose terms allow it."""
    for path, content in files_in(folder):
        kind = next((kind for start, kind in package.kinds.items() if path.startswith(start)), None)
        terms = package.terms or terms_of(source_path(package, path), stanzas)
        if kind is None or path.startswith(package.left_out) or terms is None or not is_free(terms.licence):
            continue
        yield Piece(content, path, terms.licence, terms.authors, kind)


def in_chunks(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Pieces as they come, but G.722 files of the same terms and kind joined; of equal files one is taken."""
    chunks: dict[tuple, list[Piece]] = {}
    seen: set[bytes] = set()
    for piece in pieces:
        if not piece.name.endswith(".g722"):
            yield piece
            continue
        digest = hashlib.sha256(piece.content).digest()
        if digest in seen:
            continue
        seen.add(digest)
        key = (piece.kind, piece.licence, piece.authors)
        chunk = chunks.setdefault(key, [])
        chunk.append(piece)
        if sum(len(each.content) for each in chunk) >= G722_BYTES:
            yield chained(chunks.pop(key))
    for chunk in chunks.values():
        yield chained(chunk)


def chained(pieces: list[Piece]) -> Piece:
    return replace(pieces[0], content=b"".join(piece.content for piece in pieces))


def source_path(package: Package, path: str) -> str:
    """
    Where an installed file is in the source package. Drum kits are single files there, whose names have spaces that
    become question marks in the copyright file, which match any character.
    """
    path = package.source + path.removeprefix(package.installed)
    if package.name == "hydrogen-drumkits":
        path = f"drumkits/{path.split('/')[1].removesuffix(' v4')}.h2drumkit"
    return path


def files_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of the audio files of an unpacked package; of an archive in it, those inside."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.lower().endswith(SUFFIXES):
                        yield name, archive.read(name)
        elif path.is_file() and path.name.lower().endswith(SUFFIXES):
            yield str(path.relative_to(folder)), path.read_bytes()
