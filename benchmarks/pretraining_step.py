"""
One joint pretraining step (forward, backward, Adam): the released code's two passes against one pass here, and what
bfloat16, compilation and encoding visible patches only add to that.

    python benchmarks/pretraining_step.py --size base --patch 16x16 --repeats 3

On a CUDA device all of it runs there, with gradient checkpointing besides. `of matmul` is the rate of the step's
products over the whole time of the step, as a share of the rate of large products alone on the same machine, in the
same data type; recomputation does not count. `alone` is the time in a process of its own, afterwards: there the
candidates do not share an allocator that has been through the steps of all. Peak memory is that process's, above what
it had before the model was made (CPU), or what PyTorch allocated (CUDA).

What it is worth to compute the last feed-forward layer and the heads for masked patches alone, with losses that are
compared first:

    python benchmarks/pretraining_step.py --size base --only "one pass, all patches" "one pass, sdpa"
"""

import argparse
import copy
import json
import subprocess
import sys
from contextlib import nullcontext

import torch
from baseline import Baseline
from timing import interleaved_medians, report
from torch.utils.flop_counter import FlopCounterMode

from ssast_hf import SSASTConfig, SSASTForPretraining
from ssast_hf.conversion.original import rename_original


SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}
# Everything that can be timed: attention, bfloat16, compilation, decoder layers, gradient checkpointing, and all
# patches to the end, where the package's step goes on with masked ones.
BASELINE = "two passes, eager"
CANDIDATES = {
    BASELINE: None,
    "one pass, eager": dict(attention="eager"),
    "one pass, all patches": dict(all_patches=True),
    "one pass, sdpa": dict(),
    "one pass, compiled": dict(compiled=True),
    "one pass, bf16": dict(bf16=True),
    "visible only": dict(decoder=2),
    "visible only, bf16": dict(decoder=2, bf16=True),
}
# Of the attentions in bfloat16, the fused one is the faster on a GPU, the one written out on a processor.
CPU_CANDIDATES = {
    "one pass, bf16, eager": dict(bf16=True, attention="eager"),
    "one pass, bf16, eager, compiled": dict(bf16=True, attention="eager", compiled=True),
    "visible only, bf16, eager": dict(decoder=2, bf16=True, attention="eager"),
    "visible only, bf16, eager, compiled": dict(decoder=2, bf16=True, attention="eager", compiled=True),
}
CUDA_CANDIDATES = {
    "one pass, bf16, compiled": dict(bf16=True, compiled=True),
    "one pass, bf16, CUDA graphs": dict(bf16=True, compiled="reduce-overhead"),
    "one pass, bf16, checkpointing": dict(bf16=True, checkpointing=True),
    "one pass, bf16, flash": dict(bf16=True, attention="flash_attention_2"),
    "visible only, bf16, compiled": dict(decoder=2, bf16=True, compiled=True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--patch", choices=("16x16", "128x2"), default="16x16")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", nargs="+", help="some of the candidates")
    parser.add_argument("--alone", metavar="CANDIDATE", help="measure this one alone, in this process")
    arguments = parser.parse_args()
    known = CANDIDATES | (CUDA_CANDIDATES if arguments.device == "cuda" else CPU_CANDIDATES)
    names = arguments.only or list(known)
    if unknown := set(names) - set(known):
        parser.error(f"there is no candidate {', '.join(map(repr, unknown))} here, but {', '.join(map(repr, known))}")
    torch.set_num_threads(arguments.threads)
    if arguments.alone:
        print(json.dumps(measure_alone(arguments)))
        return
    config, baseline, state = make_models(arguments.size, arguments.patch, arguments.device)
    input_values = make_input(config, arguments.batch_size, arguments.device)
    check_same_loss_of_all_patches(state, config, input_values)
    steps, flops = {}, {}
    for name in names:
        try:
            model = baseline if name == BASELINE else make_candidate(state, config, arguments.device, **known[name])
            steps[name] = make_step(model, input_values, **(known[name] or {}))
            if known[name] and not known[name].get("bf16") and not known[name].get("decoder"):
                check_same_loss(baseline, model, input_values)
            flops[name] = count_flops(model, input_values, known[name])
        except ImportError as error:  # flash attention is a package of its own
            print(f"not measured: {name} ({error})", file=sys.stderr)
    medians = interleaved_medians(steps, arguments.repeats, warmup=2)
    rates = {bf16: matmul_rate(arguments.device, torch.bfloat16 if bf16 else torch.float32) for bf16 in (False, True)}
    del steps, model, baseline, state  # they would take memory from those alone
    alone = {name: measured_alone(name) for name in medians}
    rows = []
    for name, seconds in medians.items():
        rate = rates[bool((known[name] or {}).get("bf16"))]
        seconds_alone, peak = alone[name]
        rows.append(
            {
                "model": f"{arguments.size} {arguments.patch}",
                "step": name,
                "seconds": seconds,
                "clips/s": arguments.batch_size / seconds,
                "ratio": ratio(medians.get(BASELINE), seconds),
                "alone": seconds_alone,
                "ratio alone": ratio(alone.get(BASELINE, (None,))[0], seconds_alone),
                "TFLOP/s": flops[name] / seconds / 1e12,
                "of matmul": flops[name] / seconds / rate,
                "peak MB": peak,
            }
        )
    report(rows)
    if arguments.device == "cpu":
        print("on a CUDA device: not measured")


class AllPatches(SSASTForPretraining):
    """Computes the last feed-forward layer and the heads for all patches, and leaves out of the losses what is not
    masked."""

    def most_masked(self, bool_masked_pos, is_drawn):
        return bool_masked_pos.shape[1]


def make_models(size: str, patch: str, device: str, **fields):
    """The configuration, the baseline with random weights, and the same weights by our names."""
    torch.manual_seed(0)
    width, heads = SIZES[size]
    patch_size = [int(side) for side in patch.split("x")]
    config = SSASTConfig(
        hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width, patch_size=patch_size, **fields
    )
    baseline = Baseline(config)
    for parameter in baseline.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    scalars = {"p_input_fdim": torch.tensor(config.num_mel_bins), "p_input_tdim": torch.tensor(config.max_length)}
    state, _, config, _, _ = rename_original(baseline.state_dict() | scalars)
    return config, baseline.to(device), state


def make_input(config, batch_size: int, device: str) -> torch.Tensor:
    return torch.randn(batch_size, config.max_length, config.num_mel_bins, device=device)


def make_candidate(
    state,
    config,
    device,
    attention="sdpa",
    compiled: bool | str = False,
    decoder=0,
    checkpointing=False,
    all_patches=False,
    bf16=False,
):
    """The model with the given weights (a decoder's are random), set up as named; `compiled` may be a mode."""
    config = SSASTConfig(**config.to_dict() | {"decoder_num_hidden_layers": decoder})
    model = (AllPatches if all_patches else SSASTForPretraining)(config)
    model.load_state_dict(state, strict=decoder == 0)
    model.set_attn_implementation(attention)
    if checkpointing:
        model.gradient_checkpointing_enable()
    model.to(device).train()
    if compiled:
        model.compile(mode=compiled if isinstance(compiled, str) else None)
    return model


def plain_copy(model):
    """The same operations in sight: the counter looks neither into compiled code nor into fused attention."""
    if not isinstance(model, SSASTForPretraining):
        return model
    plain = type(model)(copy.deepcopy(model.config)).to(model.device).train()
    plain.set_attn_implementation("eager")
    return plain


def count_flops(model, input_values, settings: dict | None) -> int:
    """Floating point operations of the products in one step, without those that are computed again."""
    with FlopCounterMode(display=False) as counter:
        make_step(plain_copy(model), input_values, **(settings or {}))()
    return counter.get_total_flops()


def make_step(model, input_values, bf16=False, **_):
    """A function that makes one optimizer step."""
    is_baseline = not isinstance(model, SSASTForPretraining)
    optimizer = torch.optim.Adam(  # fused as in the command, plain as in the released code
        model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=5e-7, fused=None if is_baseline else True
    )
    device = input_values.device.type

    def run():
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            outputs = model(input_values)
        (outputs if isinstance(outputs, torch.Tensor) else outputs.loss).backward()
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def matmul_rate(device, dtype, size: int = 4096) -> float:
    """Floating point operations per second of large matrix products."""
    count = 100 if device == "cuda" else 1  # of which one takes no longer than to wait for it
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def multiply():
        for _ in range(count):
            one @ other
        if device == "cuda":
            torch.cuda.synchronize()

    return 2 * count * size**3 / interleaved_medians({"matmul": multiply}, repeats=5)["matmul"]


@torch.no_grad()
def check_same_loss(baseline, model, input_values):
    """Both sides must compute the same thing, or the comparison means nothing."""
    indices = [baseline.draw_mask() for _ in input_values]
    mask = torch.zeros(len(input_values), model.config.num_patches, dtype=torch.bool)
    mask = mask.scatter(1, torch.stack(indices), True).to(input_values.device)
    torch.testing.assert_close(
        model(input_values, bool_masked_pos=mask).loss, baseline(input_values, [indices, indices]), rtol=1e-4, atol=0
    )


@torch.no_grad()
def check_same_loss_of_all_patches(state, config, input_values):
    """What is spared must not change the losses of the masks from one seed."""
    losses = []
    for all_patches in (True, False):
        model = make_candidate(state, config, input_values.device, all_patches=all_patches)
        torch.manual_seed(0)
        outputs = model(input_values)
        losses.append(torch.stack([outputs.loss, outputs.discriminative_loss, outputs.generative_loss]))
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=0)


def ratio(seconds: float | None, others: float | None) -> float | None:
    return None if seconds is None or others is None else seconds / others


def measured_alone(name: str) -> tuple[float | None, float | None]:
    """Seconds of a step and peak memory in MB of one candidate, in a process of its own."""
    result = subprocess.run([sys.executable, *sys.argv, "--alone", name], capture_output=True, text=True)
    if result.returncode:
        print(f"not measured alone: {name}\n{result.stderr}", file=sys.stderr)
        return None, None
    return json.loads(result.stdout.splitlines()[-1])


def measure_alone(arguments) -> tuple[float, float]:
    """Seconds and MB; the first step, in which the optimizer's state is made, counts for the memory only."""
    name = arguments.alone
    settings = (CANDIDATES | CPU_CANDIDATES | CUDA_CANDIDATES)[name]
    before = resident("VmRSS")
    config, model, state = make_models(arguments.size, arguments.patch, arguments.device)
    if name != BASELINE:
        del model
        model = make_candidate(state, config, arguments.device, **settings)
        del state
    step = make_step(model, make_input(config, arguments.batch_size, arguments.device), **(settings or {}))
    seconds = interleaved_medians({name: step}, arguments.repeats, warmup=2)[name]
    if arguments.device == "cuda":
        return seconds, torch.cuda.max_memory_allocated() / 1e6
    return seconds, (resident("VmHWM") - before) / 1e6


def resident(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(field))


if __name__ == "__main__":
    main()
