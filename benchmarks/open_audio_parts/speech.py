"""Speech in many languages and voices, rendered by espeak-ng from names in Unicode's CLDR and numbers."""

import io
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .packages import unpack
from .recordings import RATE, Piece


LANGUAGES = (
    "af am an ar as az be bg bn bs ca cs cy da de el en-gb en-us eo es es-419 et eu fa fi fr ga gd gn gu hi hr hu hy "
    "id is it ka kk kn ko ku ky lt lv mk ml mr ms mt my nb ne nl om or pa pl pt pt-br qu ro ru sd si sk sl sq sr sv "
    "sw ta te th tn tr tt uk ur uz vi"
).split()
VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 Alex Alicia Andrea Andy Annie Denis Gene Henrique Hugo Jacky Lee Marco "
    "Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris caleb croak david ed edward grandma "
    "grandpa gustave iven john kaukovalta klatt klatt2 klatt4 linda marcelo max michel miguel norbert pablo paul "
    "pedro quincy rob robert sandro shelby steph travis victor whisper whisperf zac"
).split()
# Elements of CLDR that hold names: territories, languages, months, days, fields such as "next year", units.
NAMES = ("territory", "language", "month", "day", "field", "displayName", "unitPattern", "relative")
LICENCE = "CC0-1.0"
AUTHORS = "rendered by us with espeak-ng, from names in Unicode CLDR (Unicode licence) and numbers"
CLIPS = 6


def render(cache: Path) -> Iterator[Piece]:
    """Some recordings in each language, about 15 s long, each by a voice, a speed and a pitch of its own."""
    folder = unpack("unicode-cldr-core", cache, (".xml",))
    spoken = set(installed_languages())
    for language in LANGUAGES:
        if language not in spoken:
            continue
        random = np.random.default_rng(list(language.encode()))
        names = names_in(folder, language)
        for number in range(CLIPS):
            text = words(names, random)
            variant = str(random.choice(VARIANTS))
            speed, pitch = int(random.integers(110, 240)), int(random.integers(20, 80))
            command = ["espeak-ng", "-v", f"{language}+{variant}", "-s", str(speed), "-p", str(pitch), "--stdout"]
            done = subprocess.run(command, input=text.encode(), capture_output=True)
            if done.returncode or not done.stdout:
                raise OSError(f"espeak-ng failed for {language}: {done.stderr.decode(errors='replace').strip()}")
            audio, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
            audio = soxr.resample(audio, rate, RATE) * 10 ** (random.uniform(-12, 0) / 20)
            yield Piece(audio, f"{language}+{variant} {number}", LICENCE, AUTHORS, "synthetic speech")


def installed_languages() -> list[str]:
    done = subprocess.run(["espeak-ng", "--voices"], capture_output=True, text=True, check=True)
    return [line.split()[1] for line in done.stdout.splitlines()[1:]]


def names_in(folder: Path, language: str) -> list[str]:
    """Names of things in a language; of none if CLDR does not know it."""
    main = folder / "usr/share/unicode/cldr/common/main"
    code = language.split("-")[0]
    path = main / f"{code}.xml"
    if not path.exists():
        return []
    found = (element.text for element in ElementTree.parse(path).iter() if element.tag in NAMES)
    texts = (text.replace("{0}", "").strip() for text in found if text)
    return sorted({text for text in texts if len(text) > 3 and text != "↑↑↑"})


def words(names: list[str], random: np.random.Generator) -> str:
    """A text of names with numbers among them; of numbers alone if there are no names."""
    parts = []
    for _ in range(14):
        if names and random.random() < 0.8:
            parts.append(names[random.integers(len(names))])
        else:
            parts.append(str(random.integers(10 ** random.integers(1, 5))))
    return "".join(part + str(random.choice([",", ".", "", "?"], p=[0.4, 0.2, 0.35, 0.05])) + " " for part in parts)
