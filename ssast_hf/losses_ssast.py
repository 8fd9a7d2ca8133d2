"""
Losses as pure functions: the two questions of SSAST's pretraining, of predictions, targets and a mask; and the
additive-margin softmax.

Shapes are written with B clips, N patches and A numbers per patch; for a mask, True = masked. Nothing here loops over
clips or waits for the device: all patches are compared and unmasked ones struck out, because only the device knows the
size of a selection.
"""

import torch
from torch.nn.functional import cross_entropy, one_hot

from .masking_ssast import duplicates_of_others


def info_nce(predictions, targets, bool_masked_pos, axis="predictions", exclude_duplicates=True):
    """
    Each masked patch against all masked patches of its clip (Gong et al. 2022, Equation 1).

    Args:
        predictions (`torch.FloatTensor` of shape `(batch_size, num_patches, patch_area)`): One per patch, float32.
        targets (`torch.FloatTensor` of shape `(batch_size, num_patches, patch_area)`): The patches, float32.
        bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, num_patches)`): True = masked.
        axis (`str`): `"predictions"`: which prediction belongs to a target, as in the released code; `"targets"`:
            which target belongs to a prediction, as in the paper.
        exclude_duplicates (`bool`): Whether patches that are bitwise equal to the target do not count against it.

    Returns:
        Three scalars, means over the masked patches of the batch: the loss in nats; the accuracy, without graph and
        always the released code's, whatever the axis; and the share of masked patches with a masked duplicate.
    """
    # Sums over a patch, which bfloat16 could not tell apart.
    with torch.autocast(targets.device.type, enabled=False):
        similarity = targets @ predictions.transpose(1, 2)  # (B, N targets, N predictions)
    never = torch.finfo(similarity.dtype).min
    dim = 2 if axis == "predictions" else 1
    others_masked = bool_masked_pos.unsqueeze(3 - dim)
    duplicates = duplicates_of_others(targets)
    struck_out = ~others_masked | duplicates if exclude_duplicates else ~others_masked
    partition = similarity.masked_fill(struck_out, never).logsumexp(dim=dim)  # (B, N)
    loss = masked_mean(partition - similarity.diagonal(dim1=1, dim2=2), bool_masked_pos)
    with torch.no_grad():
        # As in the released code: normalised over predictions, then the best target of each prediction is sought.
        probability = similarity.masked_fill(~bool_masked_pos.unsqueeze(1), never).softmax(dim=2)
        best = probability.masked_fill(~bool_masked_pos.unsqueeze(2), -1.0).argmax(dim=1)
        correct = best == torch.arange(best.shape[1], device=best.device)
        accuracy = masked_mean(correct.float(), bool_masked_pos)
        has_duplicate = (duplicates & bool_masked_pos.unsqueeze(1)).any(dim=2)
        duplicate_fraction = masked_mean(has_duplicate.float(), bool_masked_pos)
    return loss, accuracy, duplicate_fraction


def masked_mean(values, bool_masked_pos):
    """Mean of (B, N) over the masked patches of the whole batch; 0 if there are none."""
    return (values * bool_masked_pos).sum() / bool_masked_pos.sum().clamp(min=1)


@torch.no_grad()
def masked_variance(predictions, bool_masked_pos):
    """
    How much predictions (B, N, A) differ between the masked patches of a clip: their variance, as a mean over numbers
    and clips. 0 when a model says the same of every patch, the way in which self-supervised training collapses.
    """
    masked = bool_masked_pos.unsqueeze(2)
    count = bool_masked_pos.sum(dim=1).clamp(min=1)[:, None, None]
    predictions = predictions.float()
    centre = (predictions * masked).sum(dim=1, keepdim=True) / count
    return masked_mean((predictions - centre).square().mean(dim=2), bool_masked_pos)


def am_softmax(cosines, labels, scale, margin):
    """
    Cross entropy of cosines, of which the right one has to be larger than the others by a margin.

    Args:
        cosines (`torch.FloatTensor` of shape `(batch_size, num_labels)`): From -1 to 1, float32.
        labels (`torch.LongTensor` of shape `(batch_size,)`): Class indices; -100 for none.
        scale (`float`): What cosines are multiplied by.
        margin (`float` or `torch.FloatTensor` of shape `()`): What is first taken off the right one.
    """
    is_right = one_hot(labels.clamp(min=0), cosines.shape[1])
    return cross_entropy(scale * (cosines - margin * is_right), labels)
