"""
One joint pretraining step (forward, backward, Adam): two separate passes as in the released code against one pass
here.

    python benchmarks/pretraining_step.py --size base --patch 16x16 --batch_size 2
"""

import argparse

import torch
from baseline import Baseline
from timing import interleaved_medians, report

from ssast_hf import SSASTConfig
from ssast_hf.conversion import rename_original


SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--patch", choices=("16x16", "128x2"), default="16x16")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    width, heads = SIZES[arguments.size]
    patch_size = [int(side) for side in arguments.patch.split("x")]
    config = SSASTConfig(
        hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width, patch_size=patch_size
    )
    baseline = Baseline(config)
    for parameter in baseline.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    scalars = {"p_input_fdim": torch.tensor(config.num_mel_bins), "p_input_tdim": torch.tensor(config.max_length)}
    state, _, config, model_class, _ = rename_original(baseline.state_dict() | scalars)
    input_values = torch.randn(arguments.batch_size, config.max_length, config.num_mel_bins)

    candidates = {"two passes, eager": step(baseline, input_values)}
    for implementation in ("eager", "sdpa"):
        model = model_class(config)
        model.load_state_dict(state)
        model.set_attn_implementation(implementation)
        check_same_loss(baseline, model, input_values)
        candidates[f"one pass, {implementation}"] = step(model, input_values)
    medians = interleaved_medians(candidates, arguments.repeats)
    two_passes = medians["two passes, eager"]
    report(
        [
            {
                "model": f"{arguments.size} {arguments.patch}",
                "step": name,
                "seconds": seconds,
                "clips/s": arguments.batch_size / seconds,
                "ratio": two_passes / seconds,
            }
            for name, seconds in medians.items()
        ]
    )


def step(model, input_values):
    """A function that makes one optimizer step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=5e-7)

    def run():
        outputs = model(input_values)
        (outputs if isinstance(outputs, torch.Tensor) else outputs.loss).backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


@torch.no_grad()
def check_same_loss(baseline, model, input_values):
    """Both sides must compute the same thing, or the comparison means nothing."""
    indices = [baseline.draw_mask() for _ in input_values]
    mask = torch.zeros(len(input_values), model.config.num_patches, dtype=torch.bool)
    mask = mask.scatter(1, torch.stack(indices), True)
    torch.testing.assert_close(
        model(input_values, bool_masked_pos=mask).loss, baseline(input_values, [indices, indices]), rtol=1e-4, atol=0
    )


if __name__ == "__main__":
    main()
