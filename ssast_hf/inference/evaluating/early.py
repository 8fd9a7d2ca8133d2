"""Labels, checked before PyTorch and transformers are imported, which takes many seconds."""

from ...audio.small_tables import small_tables
from .data import load_parts, make_folds
from .settings import check_options


def check_labels(data: str, **options):
    """
    The labels of what is compared on, if that is small tables, or folders beside one.

    Raises:
        ValueError: If an option, label, column or class is missing or makes no sense, with the row or the column.
        OSError: If a table cannot be read.
    """
    settings = check_options(options)
    is_slow = settings["task"] == "multilabel" or "group_column" in options
    if small_tables([data, *([options["test_data"]] if "test_data" in options else [])], is_slow):
        make_folds(load_parts(data, options, settings, labels_alone=True), options, settings)
