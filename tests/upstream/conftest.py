"""Makes transformers' common tests importable as `transformers_tests`, and applies the table in `expected.py`."""

import importlib
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import transformers
from expected import EXPECTED
from fetch import FOLDER, PACKAGE
from packaging.specifiers import SpecifierSet


HERE = Path(__file__).parent
# What of transformers' tests is not in its source distribution, as far as the common tests import it.
STAND_INS = HERE / "stand_ins"
collect_ignore = [str(STAND_INS)]


def is_asked_for(config) -> bool:
    """Whether pytest is to run something of this folder by name: `make test` is not, `make upstream` is."""
    return any(Path(argument.split("::")[0]).resolve().is_relative_to(HERE) for argument in config.args)


def pytest_configure(config):
    if not is_asked_for(config):
        return
    if not FOLDER.is_dir():
        raise pytest.UsageError(f"{FOLDER} is missing: python tests/upstream/fetch.py")
    # Some tests that take a second here count as slow. Read by transformers when its tests are imported.
    os.environ["RUN_SLOW"] = "1"
    sys.path.insert(0, str(FOLDER))
    importlib.import_module(PACKAGE).__path__.append(str(STAND_INS))
    # transformers registers its marks in a file that is not in the distribution.
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnknownMarkWarning")


def pytest_ignore_collect(collection_path, config):
    return None if is_asked_for(config) else True


def pytest_collection_modifyitems(config, items):
    """Mark what `expected.py` lists; an error if something is listed that does not exist."""
    version = transformers.__version__
    listed = [entry for entry in EXPECTED if SpecifierSet(entry.versions).contains(version, prereleases=True)]
    unused = set(listed)
    for item in items:
        for difference in listed:
            if fnmatchcase(item.parent.name, difference.models) and fnmatchcase(item.name, difference.test):
                unused.discard(difference)
                item.add_marker(pytest.mark.xfail(reason=difference.reason, strict=True))
    is_whole = all(Path(argument).resolve() == HERE for argument in config.args)
    if is_whole and unused:
        raise pytest.UsageError("expected.py lists what does not exist: " + "; ".join(map(str, unused)))
