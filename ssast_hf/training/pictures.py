"""Pictures of validation clips, drawn while a model trains."""

import time
from pathlib import Path

import torch
from transformers import TrainerCallback

from .plots import plot_reconstruction
from .trainer import fixed_randomness


NUM_PICTURES = 4


class Pictures(TrainerCallback):
    """
    Draws the same few validation clips with the same masks again and again, into `figures` in the output folder.

    Args:
        trainer ([`SSASTTrainer`]): Its model draws, its validation data are drawn.
    """

    def __init__(self, trainer):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if args.visualize_steps > 0 and (
            state.global_step % args.visualize_steps == 0 or state.global_step == state.max_steps
        ):
            before = time.perf_counter()
            self.draw(args, state)
            self.trainer.pause(before)

    @torch.no_grad()
    def draw(self, args, state):
        dataset, model = self.trainer.eval_dataset, self.trainer.model
        batch = self.trainer.data_collator([dataset[i] for i in range(min(NUM_PICTURES, len(dataset)))])
        inputs = {name: value.to(args.device) for name, value in batch.items() if name != "skipped"}
        config = self.trainer.accelerator.unwrap_model(model).config
        was_training = model.training
        model.eval()
        # All processes compute, since each may hold only a part of the weights; the first one draws.
        with fixed_randomness(args.seed, args.device), self.trainer.compute_loss_context_manager():
            outputs = model(**inputs)
        model.train(was_training)
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        lengths = inputs.get("attention_mask", torch.ones(inputs["input_values"].shape[:2])).sum(dim=1).long().tolist()
        for i, length in enumerate(lengths):
            frequency, time = config.grid_shape[0], config.time_grid(length)
            mask, patches = (
                values[i].cpu().unflatten(0, (frequency, -1))[:, :time].flatten(0, 1)
                for values in (outputs.bool_masked_pos, outputs.reconstruction)
            )
            path = folder / f"step-{state.global_step:07d}-clip-{i}.png"
            title = f"validation clip {i} after {state.global_step} steps"
            plot_reconstruction(inputs["input_values"][i, :length].cpu(), mask, patches, config, path, title)
