"""
Mean and standard deviation of a data set's log-mel features, over what is not padding: of everything, or of windows
spread over it.
"""


def add_arguments(parser):
    parser.add_argument("--train_data", nargs="+", required=True, help="as for pretrain, unless streamed")
    parser.add_argument(
        "--model_name_or_path",
        help="a model whose feature extractor is used, or nano, which is bundled (default: the released models')",
    )
    parser.add_argument("--write", action="store_true", help="store the result in that folder's feature extractor")
    parser.add_argument("--max_length", type=int, help="frames per window (default: the feature extractor's)")
    parser.add_argument("--max_hours", type=float, default=10.0, help="read at most so much (default: 10)")
    parser.add_argument("--num_workers", type=int, help="processes that read and decode (default: 2)")
    parser.add_argument("--dataset_split", help="split of a data set on the Hub (default: train)")
    parser.add_argument("--dataset_config_name", help="its configuration")
    parser.add_argument("--audio_column", help="column of audio or paths (default: found by its usual names)")


def run(arguments: dict) -> list[str]:
    from .feature_statistics import compute_stats

    return compute_stats(**arguments)
