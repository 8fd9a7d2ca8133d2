"""
How much memory and time pretraining takes on one card, on eight and on sixty-four, as tables in Markdown.

    python benchmarks/scaling.py                                                   # memory; no card is needed
    python benchmarks/scaling.py --rates gpu.json --write docs/many_cards.md       # times too, into the page

Nothing is computed: PyTorch goes through a step with tensors that have no content, and what it keeps for the way back
is counted. Times follow from the rates of one card in the JSON of `gpu.py`.
"""

import argparse
import json
import sys
from pathlib import Path
from unittest import mock

import torch
from pretraining_step import SIZES
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from ssast_hf import SSASTConfig, SSASTForPretraining
from ssast_hf.modeling_ssast import SSASTPreTrainedModel


MODELS = (("base", "16x16"), ("base", "128x2"), ("tiny", "16x16"), ("tiny", "128x2"))
# As `gpu.py` calls them, or `None` where it does not measure the same; bfloat16, checkpointing, decoder layers.
STEPS = {
    "one pass": ("one pass, sdpa", False, False, 0),
    "one pass, bfloat16": ("one pass, bf16", True, False, 0),
    "one pass, bfloat16, compiled": ("one pass, bf16, compiled", True, False, 0),
    "one pass, bfloat16, checkpointing": (None, True, True, 0),
    "visible only, bfloat16": ("visible only, bf16", True, False, 2),
    "visible only, bfloat16, compiled": ("visible only, bf16, compiled", True, False, 2),
}
CARDS = (1, 8, 64)
# Bytes of a card, and the share of them that can be planned with.
CARD, USABLE = 80e9, 0.9
# The time is that of so many hours of audio, in clips of so many seconds, as long as the model takes.
HOURS, CLIP = 1000, 10.26
NOT_MEASURED = "not measured"
BEGIN, END = "<!-- made by benchmarks/scaling.py -->", "<!-- end of what it made -->"


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rates", type=Path, help="what gpu.py has written")
    parser.add_argument("--write", type=Path, help="put the tables into this page, between its marks")
    arguments = parser.parse_args(argv)
    rates = None if arguments.rates is None else json.loads(arguments.rates.read_text())
    text = "\n\n".join([state_table(), clip_table(rates), time_table(rates)])
    if arguments.write is None:
        print(text)
        return 0
    page = arguments.write.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        parser.error(f"{arguments.write} has not one line {BEGIN} and one line {END}")
    head, tail = page[: page.index(BEGIN)], page[page.index(END) :]
    arguments.write.write_text(f"{head}{BEGIN}\n\n{text}\n\n{tail}")
    return 0


def state_table() -> str:
    """What a card holds of weights, gradients and Adam's averages, whatever the batch."""
    rows = []
    for size in dict.fromkeys(size for size, _ in MODELS):
        count = num_parameters(size)
        rows += [[size, f"{count / 1e6:.1f}", way, *(gigabytes(each(count, n)) for n in CARDS)] for way, each in WAYS]
    return markdown(["model", "million parameters", "divided by", *(f"{cards(n)}, GB each" for n in CARDS)], rows)


# Bytes on each of n cards. DDP has one more copy of the gradients, to send. ZeRO-2 has weights of bfloat16 everywhere,
# and divides gradients, weights of float32 and averages. FSDP divides all; the layer that is computed comes on top.
WAYS = (
    ("nothing (DDP)", lambda count, n: count * (16 if n == 1 else 20)),
    ("ZeRO-2", lambda count, n: count * (2 + 14 / n)),
    ("FSDP2", lambda count, n: count * 16 / n),
)


def clip_table(rates: dict | None) -> str:
    """What each clip of a batch adds, and how many fit into a card beside weights, gradients and averages."""
    rows = []
    for size, patch in MODELS:
        for step, (name, bf16, checkpointing, decoder) in STEPS.items():
            if step.endswith("compiled"):
                continue  # what the compiler keeps, only a card tells
            each = bytes_per_clip(make_config(size, patch, decoder), bf16, checkpointing)
            fitting = int((USABLE * CARD - 16 * num_parameters(size)) / each)
            measured = found(rates, size, patch, name).get("largest batch") or NOT_MEASURED
            rows.append([f"{size} {patch}", step, f"{each / 1e6:.0f}", str(fitting), str(measured)])
    headings = ["model", "step", "MB per clip", f"clips that fit into {CARD / 1e9:.0f} GB", "largest batch, measured"]
    return markdown(headings, rows)


def time_table(rates: dict | None) -> str:
    """How long it takes to see so much audio once, if cards do not wait for each other."""
    rows = []
    for size, patch in MODELS:
        for step, (name, *_) in STEPS.items():
            if name is None:
                continue
            rate = found(rates, size, patch, name).get("clips/s")
            times = [NOT_MEASURED if rate is None else duration(HOURS * 3600 / CLIP / rate / n) for n in CARDS]
            rows.append([f"{size} {patch}", step, NOT_MEASURED if rate is None else f"{rate:.0f}", *times])
    card = "a card" if rates is None else rates["device"]
    return markdown(["model", "step", f"clips/s of {card}", *(f"{HOURS} h of audio, {cards(n)}" for n in CARDS)], rows)


def found(rates: dict | None, size: str, patch: str, step: str | None) -> dict:
    """The row of a step in the JSON of `gpu.py`; nothing if there is none."""
    rows = [] if rates is None else rates.get("speed", [])
    return next((row for row in rows if (row.get("model"), row.get("step")) == (f"{size} {patch}", step)), {})


def make_config(size: str, patch: str, decoder: int = 0) -> SSASTConfig:
    width, heads = SIZES[size]
    patch_size = [int(side) for side in patch.split("x")]
    return SSASTConfig(
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        patch_size=patch_size,
        decoder_num_hidden_layers=decoder,
    )


def num_parameters(size: str) -> int:
    with torch.device("meta"):
        model = SSASTForPretraining(make_config(size, "16x16"))
    return sum(parameter.numel() for parameter in model.parameters())


def bytes_per_clip(config: SSASTConfig, bf16: bool, checkpointing: bool) -> float:
    """What one more clip makes a step keep for the way back, in bytes."""
    # There are no numbers that could be drawn.
    with FakeTensorMode(), mock.patch.object(SSASTPreTrainedModel, "_init_weights"):
        model = SSASTForPretraining(config).train()
        plain = kept(model, 2, bf16) - kept(model, 1, bf16)
        if not checkpointing:
            return plain
        model.gradient_checkpointing_enable()
        # On the way back one layer at a time keeps what all of them keep otherwise.
        return kept(model, 2, bf16) - kept(model, 1, bf16) + plain / config.num_hidden_layers


def kept(model, batch_size: int, bf16: bool) -> int:
    """Bytes of all that autograd keeps in the forward pass of so many clips, each piece of memory once."""
    pieces = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        pieces[storage._cdata] = storage  # held on to, so that no other one gets its address
        return tensor

    inputs = torch.zeros(batch_size, model.config.max_length, model.config.num_mel_bins)
    with saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = model(inputs).loss
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    total = sum(storage.nbytes() for address, storage in pieces.items() if address not in own)
    del loss
    return total


def markdown(headings: list[str], rows: list[list[str]]) -> str:
    head, *body = ("| " + " | ".join(cells) + " |" for cells in (headings, *rows))
    return "\n".join([head, "|" + "---|" * len(headings), *body])


def cards(count: int) -> str:
    return "1 card" if count == 1 else f"{count} cards"


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.2g}"


def duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    sys.exit(main())
