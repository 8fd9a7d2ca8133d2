"""Which tensors make which class: one table for all who have to know."""

from collections.abc import Iterable

from ..heads_ssast import SSASTForAudioClassification
from ..modeling_ssast import SSASTForPretraining, SSASTModel, SSASTPreTrainedModel


# What the names of the encoder's tensors begin with inside a model with a head.
ENCODER = "audio_spectrogram_transformer."
# What the names of a class's own tensors begin with, here and in the files of the original code.
KINDS: dict[type[SSASTPreTrainedModel], tuple[tuple[str, ...], tuple[str, ...]]] = {
    SSASTForAudioClassification: (("classifier.",), ("mlp_head.",)),
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
