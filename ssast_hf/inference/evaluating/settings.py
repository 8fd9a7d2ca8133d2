"""The options of the comparison and their defaults; needs neither PyTorch nor transformers."""

from ..options import one_of


# Defaults of options, and the least that they may be.
NUMBERS = {"draws": (10, 2), "random_seeds": (3, 0), "min_per_class": (2, 1), "num_folds": (5, 2), "seed": (0, 0)}
SIZES = (1, 2, 4, 8, 16, 32)


def check_options(options: dict) -> dict:
    """The options of the comparison with their defaults; ValueError if one makes no sense."""
    settings = {
        "task": one_of("--task", options.get("task", "classification"), ("classification", "multilabel")),
        "probe": one_of("--probe", options.get("probe", "ridge"), ("ridge", "logistic")),
        "pooling": one_of("--pooling", options.get("pooling", "mean"), ("mean", "bands", "statistics")),
        "on_bad_file": one_of("--on_bad_file", options.get("on_bad_file", "error"), ("error", "skip")),
        "sizes": sorted(set(options.get("sizes", SIZES))),
    }
    if min(settings["sizes"], default=0) < 1:
        raise ValueError(f"--sizes must be at least 1, got {min(settings['sizes'], default=0)}.")
    for name, (usual, least) in NUMBERS.items():
        settings[name] = options.get(name, usual)
        if settings[name] < least:
            raise ValueError(f"--{name} must be at least {least}, got {settings[name]}.")
    if options.get("folds") and not options.get("fold_column"):
        raise ValueError("--folds needs --fold_column: which of its folds to test.")
    if options.get("folds") and options.get("test_data"):
        raise ValueError("--folds says what to test, and so does --test_data; give one of them.")
    return settings
