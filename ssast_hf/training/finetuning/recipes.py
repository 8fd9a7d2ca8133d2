"""
The original's fine-tuning recipes: what its released scripts set, and how they chose the epoch. Needs neither PyTorch
nor transformers.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """
    Args:
        options (`dict`): Options of the command and their values.
        chosen_by (`str`): What the epoch is chosen by: `"validation"`; `"test"`, the data that are tested on; or
            `"test folds"`, the mean over the folds that are tested on. Data to validate on that are given win.
        rate_of_frames (`float`, *optional*): The learning rate of models of frames, if it is another.
    """

    options: dict
    chosen_by: str = "validation"
    rate_of_frames: float | None = None


OF_AUDIOSET = {"mean": -4.2677393, "std": 4.5689974}
# Of the three tasks of SUPERB, which differ in their lengths.
OF_SUPERB = {
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "max_grad_norm": 1.0,
    "use_weighted_layer_sum": True,
    "classifier_proj_size": 256,
    "pooling_mode": "mean",
    "eval_strategy": "steps",
    "save_strategy": "steps",
    **OF_AUDIOSET,
}
# The optimizer, Adam with betas 0.95 and 0.999 and a weight decay of 5e-7, is the default of all training here.
RECIPES = {
    "esc50": Recipe(
        {
            "learning_rate": 1e-4,
            "per_device_train_batch_size": 48,
            "num_train_epochs": 50,
            "max_length": 512,
            "mask_frequency": 24,
            "mask_time": 96,
            "noise_and_roll": True,
            "lr_step_decay": 0.85,
            "lr_step_from": 6,
            "warmup_steps": 0,
            "pooling_mode": "mean",
            "mean": -6.6268077,
            "std": 5.358466,
        },
        chosen_by="test folds",
    ),
    "speechcommands": Recipe(
        {
            "learning_rate": 2.5e-4,
            "per_device_train_batch_size": 128,
            "num_train_epochs": 30,
            "max_length": 128,
            "mixup": 0.6,
            "mask_frequency": 48,
            "mask_time": 48,
            "noise_and_roll": True,
            "lr_step_decay": 0.85,
            "lr_step_from": 5,
            "warmup_steps": 1000,
            "loss": "binary_cross_entropy",
            "pooling_mode": "mean",
            "mean": -6.845978,
            "std": 5.5654526,
        }
    ),
    "audioset": Recipe(
        {
            "task": "multilabel",
            "learning_rate": 5e-5,
            "per_device_train_batch_size": 12,
            "num_train_epochs": 25,
            "max_length": 1024,
            "mixup": 0.5,
            "mask_frequency": 48,
            "mask_time": 192,
            "lr_step_decay": 0.5,
            "lr_step_from": 10,
            "lr_step_every": 5,
            "warmup_steps": 0,
            "average_last_epochs": 20,
            "pooling_mode": "mean",
            **OF_AUDIOSET,
        },
        chosen_by="test",
    ),
    # Keywords, speakers and emotions.
    "superb": Recipe(
        {"per_device_train_batch_size": 32, "max_steps": 20000, "max_length": 100, **OF_SUPERB},
        rate_of_frames=5e-5,
    ),
    "superb_sid": Recipe(
        {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 8,
            "max_steps": 40000,
            "max_length": 1000,
            **OF_SUPERB,
        }
    ),
    "superb_er": Recipe(
        {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 8,
            "max_steps": 10000,
            "max_length": 600,
            **OF_SUPERB,
        }
    ),
}
# What is asked for -> what a recipe then does not set, since the two do not go together.
RIVALS = {
    "lr_scheduler_type": ("lr_step_decay", "lr_step_from", "lr_step_every"),
    "lr_step_decay": ("lr_scheduler_type",),
    "per_device_train_batch_size": ("gradient_accumulation_steps",),
    "num_train_epochs": ("max_steps",),
    "max_steps": ("num_train_epochs", "average_last_epochs"),
    "max_minutes": ("average_last_epochs",),
    "lora_rank": ("use_weighted_layer_sum",),
}
# The same for tasks: what recipes set that a task does not know.
OF_CLASSES = ("loss", "mixup", "pooling_mode")
UNKNOWN = {
    "multilabel": ("loss",),
    "regression": ("loss",),
    "speaker": ("loss", "mixup"),
    "ctc": (*OF_CLASSES, "noise_and_roll"),
    "frames": (*OF_CLASSES, "noise_and_roll"),
}
# Steps between patches, in mel bins and frames, by the patches; those of all recipes.
STRIDES = {(16, 16): (10, 10), (128, 2): (128, 1)}


def chosen_by(recipe: str | None) -> str:
    """What the epoch is chosen by under a recipe, or without one."""
    return "validation" if recipe is None else RECIPES[recipe].chosen_by


def with_recipe(argv: list[str]) -> list[str]:
    """A command line with the options of the recipe that it names in front, where others win."""
    name = None
    for i, word in enumerate(argv):
        if word == "--recipe":
            name = next(iter(argv[i + 1 :]), None)
        elif word.startswith("--recipe="):
            name = word.partition("=")[2]
    if name not in RECIPES:
        return argv  # what is unknown is told when it is read
    options = options_beside(name, argv)
    return [text for option, value in options.items() for text in (f"--{option}", str(value))] + argv


def options_beside(name: str, argv: list[str]) -> dict:
    """The options of a recipe but for those that contradict a command line; others may be there, too, and win."""
    asked = asked_in(argv)
    ousted = {rival for option in asked for rival in RIVALS.get(option, ())}
    ousted |= {*UNKNOWN.get(asked.get("task", ""), ())}
    return {option: value for option, value in RECIPES[name].options.items() if option not in ousted}


def asked_in(argv: list[str]) -> dict[str, str]:
    """The options in a command line, by their names."""
    asked = {}
    for i, word in enumerate(argv):
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            asked[name.replace("-", "_")] = value if has_value else next(iter(argv[i + 1 :]), "")
    return asked


def apply_to_model(task_arguments, config: Any, argv: list[str]) -> float | None:
    """
    Set the strides of a recipe for a model of this [`SSASTConfig`], unless they are asked for; returns its learning
    rate, if special.
    """
    strides = STRIDES.get(config.patch_shape)
    if strides is not None:
        for field, stride in zip(("frequency_stride", "time_stride"), strides, strict=True):
            if getattr(task_arguments, field) is None:
                setattr(task_arguments, field, stride)
    if config.patch_shape != (128, 2) or "learning_rate" in asked_in(argv):
        return None
    return RECIPES[task_arguments.recipe].rate_of_frames
