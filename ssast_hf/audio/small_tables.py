"""Which tables of labels are so small that they can be checked before PyTorch is imported, which takes seconds."""

import glob
from pathlib import Path

from pyarrow import parquet

from ..storage.guards import reading
from .labelled import TABLES
from .recordings import locate


# To read larger ones takes ten seconds and more, so they are read once, later.
MOST_BYTES = 100_000_000
# The same where dividing them takes long, since recordings have several labels or belong to groups.
MOST_BYTES_SPREAD = 10_000_000
# Of parquet files labels alone are read: about so many bytes each.
BYTES_OF_LABEL = 40
PARQUET = ".parquet"


def small_tables(sources: list[str], is_slow: bool) -> list[Path]:
    """
    The files of the tables among some sources of labelled data.

    Args:
        sources (`list[str]`): As of [`load_labelled`].
        is_slow (`bool`): Whether dividing them takes long.

    Returns:
        `list[Path]`: None if the tables are large, or something is neither a table nor a folder of audio beside one.
    """
    found = {source: tables_of(source) for source in sources}
    tables = [table for each in found.values() for table in each]
    others = [source for source, each in found.items() if not each]
    if not tables or sum(map(size_of, tables)) > (MOST_BYTES_SPREAD if is_slow else MOST_BYTES):
        return []
    return tables if all(Path(source).is_dir() and locate(source)[0] == "audio" for source in others) else []


def tables_of(source: str) -> list[Path]:
    """The files of a table on this machine: one, or several of parquet; none if it is something else."""
    path = Path(source)
    if path.is_file():
        return [path] if path.suffix.lower() in (*TABLES, PARQUET) else []
    is_folder = any(glob.glob(f"{glob.escape(source)}/{place}*{PARQUET}") for place in ("", "data/"))
    if not is_folder and not (source.endswith(PARQUET) and glob.glob(source)):
        return []
    kind, files = locate(source)
    return [Path(file) for file in files] if kind == "parquet" else []


def size_of(table: Path) -> int:
    """The bytes that are read of a table."""
    if table.suffix.lower() != PARQUET:
        return table.stat().st_size
    with reading(table, "a readable parquet file"):
        return BYTES_OF_LABEL * parquet.read_metadata(table).num_rows
