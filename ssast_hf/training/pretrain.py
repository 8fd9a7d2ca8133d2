"""Pretrain from a checkpoint or from scratch on any audio; see ssast-hf pretrain --help."""


def add_arguments(parser):
    # Read later by a parser of their own: most are those of transformers' Trainer, whose import takes seconds.
    parser.set_defaults(options=[])


def run(arguments: dict) -> list[str]:
    from .run_pretraining import main

    return main(arguments["options"])
