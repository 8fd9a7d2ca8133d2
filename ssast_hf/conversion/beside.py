"""What the original's files have no place for, kept in a file of its own beside them."""

import json
from pathlib import Path

from ..configuration_ssast import SSASTConfig
from ..storage.guards import UnreadableFile
from ..storage.sizes import read_sizes


# Of any model; and of a fine-tuned one, whose tensors do not say what its input and its classes are.
FIELDS = (
    "num_attention_heads mask_strategy objective num_masked_patches pooling_mode hidden_act layer_norm_eps".split()
)
FINE_TUNED_FIELDS = (
    "num_mel_bins max_length frequency_stride time_stride classifier_layer_norm_eps problem_type id2label".split()
)


def place_beside(checkpoint) -> Path:
    """Where it is kept: for `model.pth` in `model.config.json`."""
    return Path(checkpoint).with_suffix(".config.json")


def write_beside(path: Path, config: SSASTConfig, pretraining: bool):
    """Write the fields of a configuration that a file of the original, for pretraining or not, does not have."""
    names = FIELDS if pretraining else FIELDS + FINE_TUNED_FIELDS
    fields = {"model_type": config.model_type} | {name: getattr(config, name) for name in names}
    path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def read_beside(checkpoint) -> dict:
    """
    The fields of a configuration that are kept beside a file of the original; none if there is no such file, or it is
    of something else.

    Raises:
        UnreadableFile: If it is not valid.
    """
    path = place_beside(checkpoint)
    fields = read_sizes(path, "valid") if path.is_file() else {}
    if fields.get("model_type") != SSASTConfig.model_type:
        return {}
    found = {name: fields[name] for name in FIELDS + FINE_TUNED_FIELDS if fields.get(name) is not None}
    if "id2label" in found:
        names = found["id2label"]
        if not isinstance(names, dict) or list(names) != [str(i) for i in range(len(names))]:
            raise UnreadableFile(f"{path} has an id2label that does not name the classes 0, 1, 2, ... in order.")
        found["id2label"] = {i: str(name) for i, name in enumerate(names.values())}
        found["label2id"] = {name: i for i, name in found["id2label"].items()}
    return found
