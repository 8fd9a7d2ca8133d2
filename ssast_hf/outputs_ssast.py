"""What the models return, field by field."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class SSASTModelOutput(ModelOutput):
    """
    Output of [`SSASTModel`].

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch_size, num_patches + 2, hidden_size)`): Tokens:
            classification, distillation, then patches, frequency-major.
        pooler_output (`torch.FloatTensor` of shape `(batch_size, hidden_size)`): A clip: the mean of its patches, or
            with `config.pooling_mode="cls"` of the two tokens in front. (Other ways to pool are parts of the heads.)
            Always finite, but without meaning for a clip that is shorter than a patch, under an attention mask.
        frame_hidden_states (`torch.FloatTensor` of shape `(batch_size, grid_time, hidden_size)`): One vector per time
            step: the mean of its patches over frequency. Steps made of padding hold no meaning.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): Embeddings and the output of every layer, before the
            final layer norm; each `(batch_size, num_patches + 2, hidden_size)`, or `None` if it was not asked for.
        attentions (`tuple[torch.FloatTensor]`, *optional*): Attention probabilities of every layer, each
            `(batch_size, num_heads, num_patches + 2, num_patches + 2)`.
    """

    last_hidden_state: torch.FloatTensor | None = None
    pooler_output: torch.FloatTensor | None = None
    frame_hidden_states: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SSASTForPretrainingOutput(ModelOutput):
    """
    Output of [`SSASTForPretraining`]. Every mean runs over all masked patches of the batch.

    Args:
        loss (`torch.FloatTensor` of shape `()`): What `config.objective` trains: the discriminative loss, the
            generative loss, or `discriminative_loss + config.generative_loss_weight * generative_loss`.
        discriminative_loss (`torch.FloatTensor` of shape `()`): InfoNCE in nats: which of the clip's patches is it?
        generative_loss (`torch.FloatTensor` of shape `()`): Mean squared error: what does the patch look like?
        accuracy (`torch.FloatTensor` of shape `()`): Share of masked patches that are told apart from all others.
        duplicate_fraction (`torch.FloatTensor` of shape `()`): Share of masked patches that no model could tell apart,
            because another masked patch of the clip is bitwise equal (digital silence).
        prediction_variance (`torch.FloatTensor` of shape `()`): Variance of the trained head's predictions over a
            clip's masked patches; near 0 when training has collapsed. (Of the discriminative head if both train.)
        reconstruction (`torch.FloatTensor` of shape `(batch_size, num_patches, patch_area)`): Predicted patches,
            flattened row by row (mel bins x frames); zero where not masked.
        bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, num_patches)`): The mask used; True = masked.
        hidden_states, attentions (`tuple[torch.FloatTensor]`, *optional*): As in [`SSASTModelOutput`]. With a decoder
            the encoder sees visible patches only: K + 2 tokens instead of `num_patches + 2`, in their order in the
            clip, where K is the largest number of visible patches of any clip in the batch.
    """

    loss: torch.FloatTensor | None = None
    discriminative_loss: torch.FloatTensor | None = None
    generative_loss: torch.FloatTensor | None = None
    accuracy: torch.FloatTensor | None = None
    duplicate_fraction: torch.FloatTensor | None = None
    prediction_variance: torch.FloatTensor | None = None
    reconstruction: torch.FloatTensor | None = None
    bool_masked_pos: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
