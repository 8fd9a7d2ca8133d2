"""Which tensors make which class: one table for all who have to know."""

from collections.abc import Iterable

from ..configuration_ssast import SSASTConfig
from ..heads_ssast import (
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForXVector,
)
from ..modeling_ssast import SSASTForPretraining, SSASTModel, SSASTPreTrainedModel


# What the names of the encoder's tensors begin with inside a model with a head.
ENCODER = "audio_spectrogram_transformer."
# What the names of a class's own tensors begin with, here and in the files of the original code.
KINDS: dict[type[SSASTPreTrainedModel], tuple[tuple[str, ...], tuple[str, ...]]] = {
    SSASTForAudioClassification: (("classifier.layernorm.", "classifier.dense."), ("mlp_head.",)),
    SSASTForAudioFrameClassification: (("classifier.weight", "classifier.bias"), ()),
    SSASTForXVector: (("embedding.", "objective."), ()),
    SSASTForCTC: (("ctc_head.",), ()),
    SSASTForPretraining: (
        ("discrimination_head.", "reconstruction_head.", "decoder."),
        ("mask_embed", "cpredlayer.", "gpredlayer."),
    ),
    SSASTModel: ((), ()),
}


def kind_of(keys: Iterable[str], original: bool = False) -> type[SSASTPreTrainedModel]:
    """
    The class whose tensors have these names (a state dict, for example), or names as in the original's files; the
    encoder alone if no head is there.
    """
    keys = list(keys)
    for model_class, prefixes in KINDS.items():
        if any(key.startswith(prefixes[original]) for key in keys):
            return model_class
    return SSASTModel


def kind_named(name: str) -> type[SSASTPreTrainedModel]:
    """The class of that name, as `architectures` in a `config.json` gives it; a ValueError if it is none of them."""
    for model_class in KINDS:
        if model_class.__name__.lower() == name.lower():  # `SSASTForPreTraining` is one of them, too
            return model_class
    raise ValueError(f"{name} is none of {', '.join(model_class.__name__ for model_class in KINDS)}.")


def reason_to_stay(model_class: type[SSASTPreTrainedModel], config: SSASTConfig) -> str | None:
    """Why stock AST and the original, which classify one vector of the last layer, have no place for a head; if so."""
    if model_class in (SSASTForXVector, SSASTForCTC, SSASTForAudioFrameClassification):
        return f"the head of an {model_class.__name__}"
    if model_class is not SSASTForAudioClassification:
        return None
    if config.use_weighted_layer_sum:
        return "a classifier on a weighted sum of layers (use_weighted_layer_sum)"
    if config.classifier_proj_size is not None:
        return "a projection before the classifier (classifier_proj_size)"
    if config.pooling_mode in ("attentive", "statistics"):
        return f'a classifier on pooling_mode="{config.pooling_mode}"'
    return None
