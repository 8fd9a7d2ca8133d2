"""Compare frozen encoders on labelled recordings: linear probe, nearest neighbours, and few labels per class."""


def add_arguments(parser):
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="SSAST, stock AST or wav2vec2-like: a folder, a name, or nano"
    )
    parser.add_argument("--data", required=True, help="folder with a sub-folder per class, table, or owner/name")
    parser.add_argument("--output_dir", required=True, help="where the report goes; what is embedded is kept there")
    parser.add_argument(
        "--task", choices=("classification", "multilabel"), help="one class per recording (default), or any number"
    )
    parser.add_argument("--label_column", help="column of labels (default: found by its usual names)")
    parser.add_argument("--audio_column", help="column of audio or paths (default: found by its usual names)")
    parser.add_argument("--audio_dir", help="what paths are relative to (default: the table's folder, or audio in it)")
    parser.add_argument("--label_csv", help="the original's table of classes: index, mid, display_name")
    parser.add_argument("--label_separator", help="between several labels in a cell; none if names have ; | or ,")
    parser.add_argument("--fold_column", help="column of folds, each of which is tested once")
    parser.add_argument("--folds", nargs="+", help="which of them to test (default: all)")
    parser.add_argument("--num_folds", type=int, help="how many to make without that column (default: 5)")
    parser.add_argument("--group_column", help="column of what must not be divided, such as speakers")
    parser.add_argument("--test_data", help="test on this, trained on all of --data")
    parser.add_argument("--dataset_split", help="split of a data set on the Hub (default: train)")
    parser.add_argument("--test_split", help="that of --test_data (default: test)")
    parser.add_argument("--dataset_config_name", help="configuration of a data set on the Hub")
    parser.add_argument(
        "--pooling",
        choices=("mean", "bands", "statistics"),
        help="of models: mean (default); bands, a mean per frequency of patches; statistics, means and deviations",
    )
    parser.add_argument("--probe", choices=("ridge", "logistic"), help="the linear classifier (default: ridge)")
    parser.add_argument("--sizes", nargs="+", type=int, help="examples per class (default: 1 2 4 8 16 32)")
    parser.add_argument("--draws", type=int, help="how often examples are drawn (default: 10)")
    parser.add_argument("--random_seeds", type=int, help="random models of each shape (default: 3; 0 for none)")
    parser.add_argument("--min_per_class", type=int, help="examples of a class that every part must have (default: 2)")
    parser.add_argument("--on_bad_file", choices=("error", "skip"), help="unusable recordings (default: error)")
    parser.add_argument("--device", help="where to compute (default: an accelerator if there is one)")
    parser.add_argument("--seed", type=int, help="source of randomness (default: 0)")


def run(arguments: dict):
    from .evaluating.run import evaluate

    return evaluate(**arguments)


def check(arguments: dict):
    """What can be told before PyTorch is imported."""
    from .evaluating.early import check_labels

    check_labels(**{name: value for name, value in arguments.items() if name not in ("models", "output_dir")})
