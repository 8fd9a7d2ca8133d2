"""What a fine-tuned model says of recordings of any length: labels, speakers, text, events or values, as a table."""


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="fine-tuned SSAST, or stock AST: a folder or a name on the Hub")
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="FILES",
        help="audio files, folders, - for paths on standard input, or data sets, as --train_data of pretrain",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="table to write, .csv or .jsonl")
    parser.add_argument("--top_k", type=int, help="how many labels or speakers of a window, the best first")
    parser.add_argument("--threshold", type=float, help="answers with a higher score alone")
    parser.add_argument("--timestamps", choices=("word", "char", "clip"), help="of text: of what (default: word)")
    parser.add_argument("--window", type=float, help="seconds that are heard together (default: the model's)")
    parser.add_argument("--hop", type=float, help="seconds to the next window (default: three quarters of it)")
    parser.add_argument("--device", help="where to compute (default: the accelerator, else the CPU)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="to compute in (default: float32)")
    parser.add_argument("--batch_size", type=int, help="windows heard together (default: 64; few on a CPU)")
    parser.add_argument("--num_workers", type=int, help="processes that decode (default: 1 on a CPU, else 4)")
    parser.add_argument("--on_bad_file", choices=("skip", "error"), help="list it and go on, or stop (default: skip)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output of an earlier run")
    parser.add_argument("--dataset_split", help="split of a data set on the Hub (default: train)")
    parser.add_argument("--dataset_config_name", help="its configuration")
    parser.add_argument("--audio_column", help="column of audio or paths (default: found by its usual names)")


def run(arguments: dict) -> list[str]:
    from .predicting.run import predict

    return predict(**arguments)
