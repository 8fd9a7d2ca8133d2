"""The feature extractor as a part of a graph: waveforms in, what the model takes out."""

import torch
from torch import nn

from ...feature_extraction_ssast import PREEMPHASIS, mel_bank
from .numbers import Preprocessing


class FilterBanks(nn.Module):
    """
    Kaldi's filter banks in operations that ONNX and onnxruntime-web have. The Fourier transform is a product with
    matrices, in double precision: sums of 400 numbers would round quiet frequencies beside loud ones away. Energies do
    not depend on where time zero is, so it is the middle of a frame. Then cosines see only what is equal before and
    after it, and sines only what is opposite: two products of half the size.

    Args:
        numbers ([`Preprocessing`]): All that the feature extractor knows.
    """

    def __init__(self, numbers: Preprocessing):
        super().__init__()
        self.numbers = numbers
        self.half = -(-numbers.frame_length // 2)
        times = torch.arange(self.half, dtype=torch.float64) + 0.5  # from the middle
        # Kaldi leaves out the highest frequency.
        frequencies = torch.arange(numbers.fft_length // 2, dtype=torch.float64) / numbers.fft_length
        angles = 2 * torch.pi * times.unsqueeze(1) * frequencies
        self.register_buffer("cosines", angles.cos())  # (200, 256)
        self.register_buffer("sines", angles.sin())
        bank = mel_bank(numbers.num_mel_bins, numbers.fft_length, numbers.sampling_rate, torch.device("cpu"))
        self.register_buffer("bank", bank[:-1].double())  # (256, mels)
        self.register_buffer("window", torch.hann_window(numbers.frame_length, periodic=False))

    def forward(
        self,
        waveform: torch.Tensor,  # (B, samples)
        is_audio: torch.Tensor | None = None,  # (B, samples) bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # (B, frames, mels), and (B, frames) int64 of what is audio
        numbers = self.numbers
        if is_audio is None:
            mean = waveform.double().mean(dim=1, keepdim=True)
        else:
            waveform = torch.where(is_audio, waveform, 0.0)
            num_samples = is_audio.sum(dim=1, keepdim=True)
            mean = waveform.double().sum(dim=1, keepdim=True) / num_samples.clamp(min=1)
        waveform = waveform - mean.float()
        if numbers.cut_to is not None:
            waveform = waveform[:, : numbers.num_samples(numbers.cut_to)]
        count = (waveform.shape[1] - numbers.frame_length) // numbers.frame_shift + 1
        starts = torch.arange(count, device=waveform.device) * numbers.frame_shift
        places = starts.unsqueeze(1) + torch.arange(numbers.frame_length, device=waveform.device)
        frames = waveform.index_select(1, places.flatten()).unflatten(1, (count, numbers.frame_length))
        features = self.log_mel(frames)
        mask = None
        if is_audio is not None:
            lengths = (num_samples - numbers.frame_length) // numbers.frame_shift + 1
            mask = torch.arange(count, device=waveform.device) < lengths
            features = torch.where(mask.unsqueeze(2), features, numbers.padding_value)
            mask = mask.long()
        if numbers.pad_to is not None:
            # One expression for all lengths: as many frames of padding as could be missing, and no more than these.
            padding = features.new_full((1, numbers.pad_to, features.shape[2]), numbers.padding_value)
            length = numbers.pad_to if numbers.cut_to is not None else torch.sym_max(count, numbers.pad_to)
            features = torch.cat((features, padding.expand(features.shape[0], -1, -1)), dim=1)[:, :length]
            if mask is not None:  # padding that the model was trained on counts
                nothing = mask.new_zeros(1, numbers.pad_to).expand(mask.shape[0], -1)
                mask = torch.cat((mask, nothing), dim=1)[:, :length]
                mask = torch.where(torch.arange(length, device=mask.device) < numbers.pad_to, 1, mask)
        return (features - numbers.mean) / (2 * numbers.std), mask

    def log_mel(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, frames, samples) -> (B, frames, mels), before padding and normalisation."""
        centred = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat((centred[..., :1], centred[..., :-1]), dim=2)
        windowed = ((centred - PREEMPHASIS * before) * self.window).double()
        if windowed.shape[2] % 2:
            windowed = torch.nn.functional.pad(windowed, (0, 1))
        first, second = windowed[..., : self.half].flip(2), windowed[..., self.half :]
        real, imaginary = (second + first) @ self.cosines, (second - first) @ self.sines
        energies = (real * real + imaginary * imaginary) @ self.bank
        return energies.float().clamp(min=torch.finfo(torch.float32).eps).log()
