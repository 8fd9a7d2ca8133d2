"""The mean of the weights after the last epochs, kept in checkpoints so that a resumed run goes on with it."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import TrainerCallback

from ...storage.guards import reading
from ...storage.reading import read_safetensors


# In a checkpoint, beside the weights.
FILE = "average.safetensors"


class WeightAverage(TrainerCallback):
    """
    Adds up the weights at the end of each of the last epochs.

    Args:
        trainer ([`FinetuningTrainer`]): Whose weights.
        epochs (`int`): How many epochs.
        total (`int`): How many the run has.
        steps (`int`): How many steps each has.
    """

    def __init__(self, trainer, epochs: int, total: int, steps: int):
        self.trainer, self.steps = trainer, steps
        self.first, self.total = max(total - epochs, 0) + 1, total
        self.added: list[int] = []  # epochs, from 1
        self.mean: dict[str, torch.Tensor] = {}
        if trainer.checkpoint is not None:  # at once, as it may not be of use for these epochs
            self.load(Path(trainer.checkpoint))

    def on_train_begin(self, args, state, control, **kwargs):
        self.go_on(state)

    def go_on(self, state):
        """Add the weights of the checkpoint that the run goes on from, if they are wanted."""
        if self.trainer.checkpoint is not None:
            self.add(state)  # a run that was stopped at the end of an epoch has not come to that

    def on_epoch_end(self, args, state, control, **kwargs):
        self.add(state)

    def add(self, state):
        """Add the weights as they are, if this is the end of one of the epochs, and they are not in it yet."""
        epoch, rest = divmod(state.global_step, self.steps)
        if rest or not self.first <= epoch <= self.total or epoch in self.added:
            return
        weights = self.trainer.accelerator.get_state_dict(self.trainer.model_wrapped)
        self.added.append(epoch)
        for name, tensor in (weights or {}).items():
            tensor = tensor.detach().cpu()
            if name not in self.mean or not tensor.is_floating_point():
                self.mean[name] = tensor.clone()
            else:
                self.mean[name] += (tensor - self.mean[name]) / len(self.added)

    def save(self, checkpoint: Path):
        if self.added and self.trainer.args.should_save:
            metadata = {"epochs": " ".join(map(str, self.added))}
            save_file({name: tensor.contiguous() for name, tensor in self.mean.items()}, checkpoint / FILE, metadata)

    def load(self, checkpoint: Path):
        """
        Take up the mean that a checkpoint has, unless it is of other epochs, as that of a shorter run may be.

        Raises:
            ValueError: If it is of some of the wanted epochs and of others, which cannot be taken out of it.
        """
        path = checkpoint / FILE
        if not path.exists():
            return
        with reading(path, "the mean of weights", "It is damaged."), safe_open(path, framework="pt") as file:
            added = [int(epoch) for epoch in file.metadata()["epochs"].split()]
        wanted = [self.first <= epoch <= self.total for epoch in added]
        if any(wanted) and not all(wanted):
            raise ValueError(
                f"{checkpoint} has the mean of the weights after epochs {added[0]} to {added[-1]}, and now that of "
                f"{self.first} to {self.total} is wanted, of which some have not been kept by themselves. Pass "
                f"--average_last_epochs {self.total - added[0] + 1}, or another --output_dir."
            )
        if all(wanted):
            self.mean, self.added = read_safetensors(path), added
