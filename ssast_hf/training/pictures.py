"""Pictures of validation clips, drawn before, while and after a model trains."""

import time
from pathlib import Path

import torch
from transformers import TrainerCallback

from ..audio.batches import with_features
from .plots import plot_reconstruction
from .run_trainer import fixed_randomness


NUM_PICTURES = 4


class Pictures(TrainerCallback):
    """
    Draws the same few validation clips with the same masks again and again, into `figures` in the output folder.

    Args:
        trainer ([`SSASTTrainer`]): Its model draws, its validation data are drawn.
    """

    def __init__(self, trainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        if args.visualize_steps > 0 and state.global_step == 0:
            self.draw(args, state)

    def on_step_end(self, args, state, control, **kwargs):
        is_last = control.should_training_stop and not self.trainer.is_stopping
        if args.visualize_steps > 0 and (state.global_step % args.visualize_steps == 0 or is_last):
            self.draw(args, state)

    def clips(self) -> list[int]:
        """Which validation clips: some from all over the data, since neighbours may be of one recording."""
        count = len(self.trainer.eval_dataset)
        return sorted({i * count // NUM_PICTURES for i in range(NUM_PICTURES)})

    def names(self) -> list[str]:
        """What the clips are called: the files, or what else they come from."""
        return [Path(self.trainer.eval_dataset.name_of(i)).name for i in self.clips()]

    @torch.no_grad()
    def draw(self, args, state):
        before = time.perf_counter()
        dataset, model = self.trainer.eval_dataset, self.trainer.model
        batch = self.trainer.data_collator([dataset[i] for i in self.clips()])
        inputs = {name: value.to(args.device) for name, value in batch.items() if name != "skipped"}
        inputs = with_features(inputs, self.trainer.processing_class)
        config = self.trainer.accelerator.unwrap_model(model).config
        was_training = model.training
        model.eval()
        # All processes compute, since each may hold only a part of the weights; the first one draws.
        with fixed_randomness(args.seed, args.device), self.trainer.compute_loss_context_manager():
            outputs = model(**inputs)
        model.train(was_training)
        if state.is_world_process_zero:
            lengths = inputs.get("attention_mask", torch.ones(inputs["input_values"].shape[:2])).sum(dim=1).long()
            when = f"after {state.global_step} steps" if state.global_step else "before training"
            for i, (name, length) in enumerate(zip(self.names(), lengths.tolist(), strict=True)):
                frequency, time_steps = config.grid_shape[0], config.time_grid(length)
                mask, patches = (
                    values[i].cpu().unflatten(0, (frequency, -1))[:, :time_steps].flatten(0, 1)
                    for values in (outputs.bool_masked_pos, outputs.reconstruction)
                )
                path = picture(Path(args.output_dir), state.global_step, i)
                path.parent.mkdir(parents=True, exist_ok=True)
                clip = inputs["input_values"][i, :length].cpu()
                plot_reconstruction(clip, mask, patches, config, path, f"{shortened(name)}, {when}")
        self.trainer.pause(before)


def picture(folder: Path, step: int, clip: int) -> Path:
    """Where the picture of a validation clip after so many steps is."""
    return folder / "figures" / f"step-{step:07d}-clip-{clip}.png"


def shortened(name: str) -> str:
    """A name that fits above a picture, its end being what tells it from others."""
    return name if len(name) <= 80 else f"...{name[-77:]}"
