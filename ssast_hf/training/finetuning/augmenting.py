"""Changes to batches in training, after their features are made: on their device, without waiting for it."""

import math
from dataclasses import dataclass

import torch


# Of the noise, and by how many frames a clip is shifted at most: the original's.
NOISE, SHIFT = 0.1, 10
# Of the distribution of the share in a mixture.
BETA = 10.0
# The features of digital silence. Padding has others: 0 before they are normalised, which is a loud sound.
SILENCE = math.log(torch.finfo(torch.float32).eps)


@dataclass(frozen=True)
class Augmentation:
    """
    Args:
        mask_frequency, mask_time (`int`): SpecAugment: up to how many mel bins and frames are masked, once each.
        mixup (`float`): Probability that a clip is mixed with another one of the batch.
        noise_and_roll (`bool`): Whether noise is added and frames are shifted.
        mean, std (`float`): Of the features before they were normalised.
    """

    mask_frequency: int
    mask_time: int
    mixup: float
    noise_and_roll: bool
    mean: float
    std: float

    def __call__(self, input_values: torch.Tensor, attention_mask: torch.Tensor | None, labels: torch.Tensor):
        """
        Changed features and labels.

        Args:
            input_values (`torch.Tensor` of shape `(B, frames, mels)`): Normalised features.
            attention_mask (`torch.Tensor` of shape `(B, frames)`, *optional*): What is audio; all of it if not given.
            labels (`torch.Tensor`): Of which some are mixed, with mixup: then they are numbers, (B,) or (B, C).
        """
        size, frames, mels = input_values.shape
        lengths = torch.full((size,), frames, device=input_values.device)
        if attention_mask is not None:
            lengths = attention_mask.sum(dim=1)
        if self.mixup:
            input_values, labels = self.mix(input_values, lengths, labels)
        if self.mask_frequency or self.mask_time:
            # The original writes zeros before it normalises.
            zero = (0.0 - self.mean) / (2 * self.std)
            bins = masked_stretch(torch.full_like(lengths, mels), mels, self.mask_frequency)
            times = masked_stretch(lengths, frames, self.mask_time)
            input_values = input_values.masked_fill(bins.unsqueeze(1) | times.unsqueeze(2), zero)
        if self.noise_and_roll:
            input_values = rolled(noisy(input_values), lengths)
        return input_values, labels

    def mix(self, input_values: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor):
        """
        Some clips mixed with others, as if their waveforms were: energies add up, each times the square of its share.
        A clip keeps its length, (B,), as in the original: of a longer one the beginning is added, and a shorter one
        is followed by silence.
        """
        size, frames, _ = input_values.shape
        device = input_values.device
        other = torch.randperm(size, device=device)
        share = beta(size, device)
        share = torch.where(torch.rand(size, device=device) < self.mixup, share, 1.0)
        scale = 2 * self.std
        is_audio = (torch.arange(frames, device=device) < lengths.unsqueeze(1)).unsqueeze(2)
        energies = (input_values * scale + self.mean).masked_fill(~is_audio, SILENCE)
        weights = share.clamp(min=1e-6).log().mul(2)[:, None, None]
        others = (1 - share).clamp(min=1e-6).log().mul(2)[:, None, None]
        mixed = torch.logaddexp(energies + weights, energies[other] + others)
        is_mixed = (share < 1)[:, None, None] & is_audio
        input_values = torch.where(is_mixed, (mixed - self.mean) / scale, input_values)
        share = share.reshape(-1, *[1] * (labels.ndim - 1))
        return input_values, share * labels + (1 - share) * labels[other]


def beta(size: int, device) -> torch.Tensor:
    """Shares between 0 and 1, mostly near a half, (size,): of a beta distribution, of the device's random numbers."""
    # Of a whole number of degrees, each gamma variable is a sum of exponential ones.
    draws = -torch.rand(2, int(BETA), size, device=device).clamp(min=1e-12).log()
    first, second = draws.sum(dim=1)
    return first / (first + second)


def masked_stretch(lengths: torch.Tensor, size: int, widest: int) -> torch.Tensor:
    """One stretch of each row, of up to so many places and at most half of its length, (B, size) bool."""
    count, device = len(lengths), lengths.device
    width = (torch.rand(count, device=device) * torch.clamp(lengths // 2, max=widest)).floor()
    begin = (torch.rand(count, device=device) * (lengths - width)).floor()
    place = torch.arange(size, device=device)
    return (place >= begin.unsqueeze(1)) & (place < (begin + width).unsqueeze(1))


def noisy(input_values: torch.Tensor) -> torch.Tensor:
    """With noise of a strength that is drawn for each clip."""
    strength = NOISE * torch.rand(len(input_values), 1, 1, device=input_values.device)
    return input_values + torch.rand_like(input_values) * strength


def rolled(input_values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Shifted by some frames, what leaves at one end coming in at the other; padding stays where it is."""
    size, frames, _ = input_values.shape
    shift = torch.randint(-SHIFT, SHIFT, (size, 1), device=input_values.device)
    place = torch.arange(frames, device=input_values.device)
    within = lengths.unsqueeze(1).clamp(min=1)
    source = torch.where(place < within, (place - shift) % within, place)
    return input_values.gather(1, source.unsqueeze(2).expand_as(input_values))
