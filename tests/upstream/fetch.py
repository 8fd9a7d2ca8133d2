"""
Fetch the common tests of the installed version of transformers, out of its source distribution, to `build/upstream/`:

    python tests/upstream/fetch.py

Nothing is fetched twice. None of it is committed: these tests are transformers', not ours.
"""

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path


VERSION = version("transformers")
BUILD = Path(__file__).parents[2] / "build" / "upstream"
# To be put on Python's path. The package in it has a name of its own, because our tests are in `tests`, too.
FOLDER = BUILD / VERSION
PACKAGE = "transformers_tests"


def main():
    if FOLDER.is_dir():
        print(f"{FOLDER} is there")
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
        options = ["--quiet", "--no-deps", "--no-binary", "transformers", "--dest", temporary]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, f"transformers=={VERSION}"], check=True)
        (archive,) = Path(temporary).glob("transformers-*.tar.gz")
        complete = Path(temporary) / VERSION
        unpack(archive, complete / PACKAGE)
        complete.rename(FOLDER)
    print(f"{FOLDER} is new")


def unpack(archive: Path, folder: Path):
    """Write the Python files that lie in the folder `tests` of `archive`, without those below it, to `folder`."""
    folder.mkdir(parents=True)
    # Not in the distribution, but one of the tests reads it.
    (folder / "__init__.py").touch()
    with tarfile.open(archive) as members:
        for member in members:
            path = Path(member.name)
            if member.isfile() and path.parts[1:-1] == ("tests",) and path.suffix == ".py":
                (folder / path.name).write_bytes(members.extractfile(member).read())


if __name__ == "__main__":
    main()
