"""Fine-tune a model on labelled audio and test it; see ssast-hf finetune --help."""


def add_arguments(parser):
    # Read later by a parser of their own, as those of `pretrain`.
    parser.set_defaults(options=[])


def run(arguments: dict) -> list[str]:
    from .finetuning.run import main

    return main(arguments["options"])


def check(arguments: dict):
    """What can be told before PyTorch is imported."""
    from .finetuning.early import check_labels

    check_labels(arguments["options"])
