"""What the original's files have no place for, in an entry of their archive that the original does not read."""

import json
import zipfile
from pathlib import Path

from ..configuration_ssast import SSASTConfig
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..storage.guards import UnreadableFile, reading
from ..storage.sizes import LARGEST, check_sizes


ENTRY = "ssast_hf.json"
# Names of a hundred thousand classes take less.
MOST_BYTES = 16 << 20
# Of any model; and of a fine-tuned one, whose tensors do not say what its input and its classes are.
FIELDS = (
    "num_attention_heads mask_strategy objective num_masked_patches pooling_mode hidden_act layer_norm_eps "
    "contrastive_axis generative_loss_weight exclude_duplicate_negatives hidden_dropout_prob "
    "attention_probs_dropout_prob initializer_range"
).split()
OF_LABELS = ["problem_type", "id2label"]
FINE_TUNED_FIELDS = [
    *"num_mel_bins max_length frequency_stride time_stride classifier_layer_norm_eps".split(),
    *OF_LABELS,
]
DEPENDENT = ("id2label", "num_masked_patches")
EXTRACTOR_FIELDS = "sampling_rate mean std do_normalize padding_value return_attention_mask padding truncation".split()


def add_carried(path: Path, config: SSASTConfig, extractor: SSASTFeatureExtractor | None, pretraining: bool):
    """Put into a file of the original what it does not say of a model, for pretraining or not."""
    names = FIELDS + (OF_LABELS if pretraining else FINE_TUNED_FIELDS)
    content: dict = {"config": {name: getattr(config, name) for name in names}}
    if extractor is not None:
        content["feature_extractor"] = {name: getattr(extractor, name) for name in EXTRACTOR_FIELDS}
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        folder = archive.namelist()[0].partition("/")[0]
        # Of no time, so that the same model makes the same file.
        archive.writestr(zipfile.ZipInfo(f"{folder}/{ENTRY}"), json.dumps(content))


def read_carried(checkpoint) -> tuple[dict, dict]:
    """
    The fields of a configuration and of a feature extractor that an export kept in a file of the original's; none of
    files that were written elsewhere.

    Raises:
        UnreadableFile: If they are not valid.
    """
    if not zipfile.is_zipfile(checkpoint):
        return {}, {}
    place = f"{checkpoint}: {ENTRY}"
    with reading(place, "valid JSON"), zipfile.ZipFile(checkpoint) as archive:
        entry = next((each for each in archive.infolist() if each.filename.endswith(f"/{ENTRY}")), None)
        if entry is None:
            return {}, {}
        if entry.file_size > MOST_BYTES:
            raise UnreadableFile(f"{place} has {entry.file_size} bytes, more than is believed. Export it again.")
        content = json.loads(archive.read(entry))
    found = []
    for name, known in (("config", FIELDS + FINE_TUNED_FIELDS), ("feature_extractor", EXTRACTOR_FIELDS)):
        fields = content.get(name) or {} if isinstance(content, dict) else None
        if not isinstance(fields, dict):
            raise UnreadableFile(f"{place} holds no fields of a configuration. Export it again.")
        check_sizes(fields, place)
        found.append({field: fields[field] for field in known if fields.get(field) is not None})
    config, extractor = found
    with reading(place, "the fields of a model", "Export it again."):
        # Those that depend on each other and on the tensors are checked with these.
        SSASTConfig(**{name: value for name, value in config.items() if name not in (*LARGEST, *DEPENDENT)})
        SSASTFeatureExtractor(**extractor)
    if (names := config.get("id2label")) is not None:
        if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(names))}:
            raise UnreadableFile(f"{place} has an id2label that does not name the classes 0, 1, 2, and so on.")
        config["id2label"] = {i: str(names[str(i)]) for i in range(len(names))}
    return config, extractor
