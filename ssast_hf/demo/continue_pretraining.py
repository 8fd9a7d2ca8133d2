"""
Continue pretraining with transformers alone; `ssast_hf` need not be installed, the folder brings its code.

    python continue_pretraining.py ssast-tiny-patch-400 features.safetensors continued --steps 60

`features.safetensors` holds `input_values` (num_clips, num_frames, num_mel_bins) and `attention_mask` (num_clips,
num_frames). The result is a folder like the first, with the losses in `losses.json`.
"""

import argparse
import json
from pathlib import Path

import torch
from huggingface_hub.utils import tqdm
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModelForPreTraining


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("model_dir")
    parser.add_argument("features")
    parser.add_argument("output_dir")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    # In float32 whatever the weights are stored in: training in half precision alone loses small updates.
    model = AutoModelForPreTraining.from_pretrained(
        arguments.model_dir, trust_remote_code=True, dtype=torch.float32
    ).train()
    batch = load_file(arguments.features)
    # The original's optimizer.
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=arguments.learning_rate, betas=(0.95, 0.999), weight_decay=5e-7)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, arguments.learning_rate, arguments.steps, pct_start=0.2)
    losses = []
    with tqdm(range(arguments.steps), desc="continued pretraining", unit="step") as bar:
        for _ in bar:
            outputs = model(**batch)
            outputs.loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            names = ("loss", "discriminative_loss", "generative_loss", "accuracy")
            losses.append({name: outputs[name].item() for name in names})
            bar.set_postfix({name: f"{value:.3f}" for name, value in losses[-1].items()})

    model.save_pretrained(arguments.output_dir)
    AutoFeatureExtractor.from_pretrained(arguments.model_dir, trust_remote_code=True).save_pretrained(
        arguments.output_dir
    )
    Path(arguments.output_dir, "losses.json").write_text(json.dumps(losses, indent=1))


if __name__ == "__main__":
    main()
