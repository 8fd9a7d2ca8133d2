"""
Losses as pure functions: the two questions of SSAST's pretraining, of predictions, targets and a mask; and the
additive-margin softmax.

Shapes are written with B clips, M patches and A numbers per patch; for a mask, True = masked. The patches are those
that are masked, and some that are not where one clip has fewer than another. Nothing here loops over clips or waits
for the device.
"""

from contextlib import nullcontext

import torch
from torch.nn.functional import cross_entropy, one_hot
from torch.utils.checkpoint import checkpoint

from .masking_ssast import first_alike


# So many patches are compared with all others at once. More, of long clips, are compared in turn, and again on the way
# back, so that memory grows with the number of patches and not with its square. Ten seconds have 400 masked ones.
ROWS = 512


def info_nce(predictions, targets, is_masked, axis="predictions", exclude_duplicates=True):
    """
    Each masked patch against all masked patches of its clip (Gong et al. 2022, Equation 1).

    Args:
        predictions (`torch.FloatTensor` of shape `(batch_size, num_patches, patch_area)`): One per patch, float32.
        targets (`torch.FloatTensor` of shape `(batch_size, num_patches, patch_area)`): The patches, float32.
        is_masked (`torch.BoolTensor` of shape `(batch_size, num_patches)`): True = masked.
        axis (`str`): `"predictions"`: which prediction belongs to a target, as in the released code; `"targets"`:
            which target belongs to a prediction, as in the paper.
        exclude_duplicates (`bool`): Whether patches that are bitwise equal to the target do not count against it.

    Returns:
        Three scalars, means over the masked patches of the batch: the loss in nats; the accuracy, without graph and
        always the released code's, whatever the axis; and the share of masked patches with a masked duplicate.
    """
    alike = first_alike(targets)
    own, others = (targets, predictions) if axis == "predictions" else (predictions, targets)
    # Sums over a patch, which bfloat16 could not tell apart.
    with in_float32(targets.device.type):
        losses = []
        blocks = row_blocks(own.shape[1])
        for rows in blocks:
            arguments = (own[:, rows], others, is_masked, alike, rows, exclude_duplicates)
            if len(blocks) > 1 and torch.is_grad_enabled():
                losses.append(checkpoint(row_losses, *arguments, use_reentrant=False))
            else:
                losses.append(row_losses(*arguments))
        loss = masked_mean(torch.cat(losses, dim=1), is_masked)
        accuracy = masked_mean(told_apart(predictions, targets, is_masked).float(), is_masked)
    num_alike = torch.zeros_like(alike).scatter_add(1, alike, is_masked.long()).gather(1, alike)
    return loss, accuracy, masked_mean((num_alike > 1).float(), is_masked)


def in_float32(device_type):
    """Context without autocast, also where there is none: on the meta device, which computes nothing but shapes."""
    return nullcontext() if device_type == "meta" else torch.autocast(device_type, enabled=False)


def row_blocks(count) -> list[slice]:
    """`count` rows in blocks of [`ROWS`]; in one while a model is exported of which the number of rows is open."""
    if not isinstance(count, int):
        return [slice(0, count)]
    return [slice(begin, begin + ROWS) for begin in range(0, count, ROWS)]


def row_losses(own, others, is_masked, alike, rows, exclude_duplicates):
    """InfoNCE (B, R) of some `rows` of patches, (B, R, A), against all, (B, M, A); the rest as above."""
    similarity = own @ others.transpose(1, 2)  # (B, R, M)
    struck_out = ~is_masked.unsqueeze(1)
    if exclude_duplicates:
        place = torch.arange(others.shape[1], device=others.device)
        is_other = place[rows].unsqueeze(1) != place
        struck_out = struck_out | ((alike[:, rows].unsqueeze(2) == alike.unsqueeze(1)) & is_other)
    never = torch.finfo(similarity.dtype).min
    partition = similarity.masked_fill(struck_out, never).logsumexp(dim=2)
    return partition - similarity.diagonal(offset=rows.start, dim1=1, dim2=2)


@torch.no_grad()
def told_apart(predictions, targets, is_masked):
    """
    Which predictions, (B, M) bool, find their target. As in the released code: normalised over predictions, then the
    best target of each prediction is sought.
    """
    never = torch.finfo(predictions.dtype).min
    highest = predictions.new_full(is_masked.shape, -torch.inf)
    best = torch.zeros_like(is_masked, dtype=torch.long)
    for rows in row_blocks(targets.shape[1]):
        similarity = targets[:, rows] @ predictions.transpose(1, 2)
        probability = similarity.masked_fill(~is_masked.unsqueeze(1), never).softmax(dim=2)
        value, place = probability.masked_fill(~is_masked[:, rows].unsqueeze(2), -1.0).max(dim=1)
        best = torch.where(value > highest, place + rows.start, best)
        highest = torch.maximum(value, highest)
    return best == torch.arange(best.shape[1], device=best.device)


def masked_mean(values, is_masked):
    """Mean of (B, M) over the masked patches of the whole batch; 0 if there are none."""
    return (values * is_masked).sum() / is_masked.sum().clamp(min=1)


@torch.no_grad()
def masked_variance(predictions, is_masked):
    """
    How much predictions (B, M, A) differ between the masked patches of a clip: their variance, as a mean over numbers
    and clips. 0 when a model says the same of every patch, the way in which self-supervised training collapses.
    """
    masked = is_masked.unsqueeze(2)
    count = is_masked.sum(dim=1).clamp(min=1)[:, None, None]
    predictions = predictions.float()
    centre = (predictions * masked).sum(dim=1, keepdim=True) / count
    return masked_mean((predictions - centre).square().mean(dim=2), is_masked)


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
