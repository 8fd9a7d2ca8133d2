"""Embeddings of all recordings of data sets, as parquet files; a run that was stopped goes on where it was."""

from argparse import ArgumentTypeError


def layer_of(text: str) -> int | str:
    """The number of a hidden state, or the sum that a fine-tuned model has learned."""
    if text == "weighted":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise ArgumentTypeError(f"expected a number or weighted, got {text!r}") from error


def add_arguments(parser):
    parser.add_argument("sources", nargs="+", metavar="SOURCES", help="data sets, as --train_data of pretrain")
    parser.add_argument("--model", required=True, help="folder or name on the Hub, or nano, which is bundled")
    parser.add_argument("--output", required=True, help="folder of the parts, or one file: NAME.npz or NAME.npy")
    parser.add_argument("--level", choices=("clip", "frame", "patch"), help="one vector of each (default: clip)")
    parser.add_argument(
        "--pooling", choices=("mean", "cls", "bands", "statistics"), help="of a clip (default: the model's)"
    )
    parser.add_argument(
        "--layer", type=layer_of, help="0 for the embeddings, then one per layer; or weighted (default: -1)"
    )
    parser.add_argument("--window", type=float, help="seconds that are encoded together (default: the model's)")
    parser.add_argument("--hop", type=float, help="seconds to the next window (default: three quarters of it)")
    parser.add_argument("--device", help="where to compute (default: the accelerator, else the CPU)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="to compute in (default: float32)")
    parser.add_argument("--batch_size", type=int, help="windows encoded together (default: 64; few on a CPU)")
    parser.add_argument("--num_workers", type=int, help="processes that decode (default: 2 on a CPU, else up to 8)")
    parser.add_argument("--recordings_per_part", type=int, help="(default: as many as have about three hours)")
    parser.add_argument("--on_bad_file", choices=("skip", "raise"), help="list it and go on, or stop (default: skip)")
    parser.add_argument("--max_bad_fraction", type=float, help="stop if more recordings are bad (default: 1)")
    parser.add_argument("--streaming", action="store_true", help="read sources from beginning to end, not by index")
    parser.add_argument("--dataset_split", help="split of a data set on the Hub (default: train)")
    parser.add_argument("--dataset_config_name", help="its configuration")
    parser.add_argument("--audio_column", help="column of audio or paths (default: found by its usual names)")
    parser.add_argument("--engine", choices=("local", "ray"), help="this process, or Ray (default: local)")
    parser.add_argument("--ray_address", help="a cluster, or auto (default: one on this machine for this run)")
    parser.add_argument("--num_actors", type=int, help="of Ray: models that embed at the same time (default: 1)")
    parser.add_argument("--gpus_per_actor", type=float, help="of Ray (default: 1 if the cluster has any, else 0)")


def run(arguments: dict) -> list[str]:
    from .embedding.run import embed

    return embed(**arguments)
