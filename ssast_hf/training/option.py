"""How options of the commands that train are declared, as fields of dataclasses."""

from dataclasses import field


def option(help: str, default=None, **metadata):
    return field(default=default, metadata={"help": help} | metadata)
