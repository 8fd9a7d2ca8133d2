"""What shapes the order of the data and the loss of a run, kept in its checkpoints to tell what has changed."""

import hashlib
import json
from pathlib import Path

from ..configuration_ssast import SSASTConfig
from ..storage.guards import reading
from .arguments import DataArguments, RunArguments


# In every checkpoint, beside transformers' files.
FILE = "run.json"
DATA = (
    "train_data validation_data validation_fraction group_column weight_column window_seconds window_overlap "
    "min_level gain_jitter_db "
    "dataset_config_name dataset_split audio_column streaming shuffle_buffer max_decoded_gb"
).split()
RUN = (
    "per_device_train_batch_size gradient_accumulation_steps seed data_seed bf16 fp16 dataloader_drop_last "
    "max_grad_norm optim lr_scheduler_type warmup_steps metric_for_best_model"
).split()
# Those that an optimizer keeps with its state, whatever is asked for later.
KEPT = "weight_decay adam_beta1 adam_beta2 adam_epsilon".split()
MODEL = (
    "mask_strategy num_masked_patches contrastive_axis exclude_duplicate_negatives generative_loss_weight "
    "hidden_dropout_prob attention_probs_dropout_prob"
).split()


def recipe_of(
    data: DataArguments, arguments: RunArguments, train, feature_extractor, steps: int | None = None
) -> dict:
    """
    The options of a run, and what they led to, by name; `train` is the data set to train on, `steps` are those that
    the learning rate decays over, if it does.
    """
    recipe = recipe_of_options({name: getattr(data, name) for name in DATA}, arguments, steps)
    recipe |= {"mean": feature_extractor.mean, "std": feature_extractor.std}
    recipe["cached_features"] = data.cache_features is not None
    if data.streaming:
        recipe["dataloader_num_workers"] = arguments.dataloader_num_workers  # each reads a part of its own
    else:
        recipe |= {"recordings": len(train.stretches), "windows": len(train)}
        if train.weights is not None:
            recipe["weights"] = hashlib.sha256(train.weights.tobytes()).hexdigest()[:12]
        recipe["decoded"] = len(train.cropper.decoded.samples)
    return json.loads(json.dumps(recipe))  # as it will be read; enumerations are strings


def recipe_of_options(options: dict, arguments: RunArguments, steps: int | None) -> dict:
    """Such options by name, and those of the run; `steps` as for [`recipe_of`]."""
    recipe = options | {name: getattr(arguments, name) for name in RUN + KEPT}
    recipe["optim"] = "adam" if arguments.use_adam else arguments.optim
    recipe["processes"] = max(arguments.world_size, 1)
    recipe["steps_of_schedule"] = steps
    return json.loads(json.dumps(recipe))


def read_run(checkpoint) -> dict:
    """What a checkpoint says about its run; nothing if it is of an older version."""
    path = Path(checkpoint) / FILE
    if not path.exists():
        return {}
    with reading(path, "what `ssast-hf pretrain` writes", "Delete it: the run then goes on without comparing."):
        run = json.loads(path.read_text(encoding="utf-8"))
        return {
            "recipe": {"processes": 1} | run["recipe"],
            "files": [str(name) for name in run["files"]],
            "evaluation_is_due": bool(run["evaluation_is_due"]),
            "seconds": float(run.get("seconds", 0.0)),
            "notes": [str(note) for note in run.get("notes", [])],
        }


def changes_since(checkpoint, recipe: dict, config: SSASTConfig) -> list[str]:
    """Sentences about what shapes the run and is not as it was when the checkpoint was saved."""
    before = SSASTConfig.from_pretrained(checkpoint)
    pairs = {name: (getattr(before, name), getattr(config, name)) for name in MODEL}
    old = read_run(checkpoint).get("recipe", {})
    pairs |= {name: (value, recipe.get(name)) for name, value in old.items() if name not in KEPT}
    sentences = []
    if changes := [f"{name} {a}, now {b}" for name, (a, b) in pairs.items() if a != b]:
        sentences.append(f"Changed since {checkpoint}, so that the result is another: {'; '.join(changes)}.")
    if kept := [
        f"{name} {old[name]}, not {recipe[name]}" for name in KEPT if old.get(name, recipe[name]) != recipe[name]
    ]:
        sentences.append(f"Kept from {checkpoint} with its optimizer: {'; '.join(kept)}.")
    if old and old["processes"] != recipe["processes"]:
        sentences.append("Of another number of processes, so masks are drawn from the seed anew.")
    return sentences
