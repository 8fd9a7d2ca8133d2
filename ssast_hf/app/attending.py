"""What a patch attends to: the attention of a layer, seen from one patch."""

from typing import NamedTuple

import numpy as np
import torch

from ..modeling_ssast import NUM_PREFIX_TOKENS, SSASTModel


class Attention(NamedTuple):
    """
    Attention from one patch: to the others, `patches` (grid_frequency, grid_time), and to the two tokens in front,
    which stand for the clip, `front`. All of it sums to 1.
    """

    patches: np.ndarray
    front: float


@torch.inference_mode()
def attention_from(
    encoder: SSASTModel, input_values: torch.Tensor, layer: int, place: tuple[int, int], head: int | None = None
) -> Attention:
    """
    Args:
        encoder ([`SSASTModel`]): In evaluation mode.
        input_values (`torch.FloatTensor` of shape `(1, num_frames, num_mel_bins)`): A clip.
        layer (`int`): Which one, from 1.
        place (`tuple[int, int]`): The row and the column of the patch, from 0, low frequencies first. What lies beyond
            the clip means its last one.
        head (`int`, *optional*): Which one, from 1; the mean of all heads if not given.
    """
    frequency, time = encoder.grid_shape(input_values)
    row, column = min(place[0], frequency - 1), min(place[1], time - 1)
    outputs = encoder(input_values, output_attentions=True, output_hidden_states=False, return_dict=True)
    heads = outputs.attentions[layer - 1][0, :, NUM_PREFIX_TOKENS + row * time + column].float().cpu()  # (heads, L)
    weights = heads.mean(dim=0) if head is None else heads[head - 1]
    patches = weights[NUM_PREFIX_TOKENS:].view(frequency, time).numpy()
    return Attention(patches, float(weights[:NUM_PREFIX_TOKENS].sum()))
