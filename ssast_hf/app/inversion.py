"""From log-mel energies back to sound, approximately: which phases there were, nobody knows any more."""

import numpy as np
import torch

from ..feature_extraction_ssast import PREEMPHASIS, SSASTFeatureExtractor, mel_bank


ROUNDS = 32
# Of the fast Griffin-Lim algorithm (Perraudin, Balazs and Sondergaard, 2013).
MOMENTUM = 0.99


def to_sound(features: np.ndarray, extractor: SSASTFeatureExtractor, rounds: int = ROUNDS) -> np.ndarray:
    """
    A sound whose filter banks are about these.

    Args:
        features (`np.ndarray` of shape `(num_mel_bins, num_frames)`): As the extractor returns them, transposed; fewer
            bins than it has are the lowest ones.
        extractor ([`SSASTFeatureExtractor`]): That they are of.
        rounds (`int`): Of Griffin-Lim.

    Returns:
        `np.ndarray` of shape `(num_samples,)`: float32, at the extractor's rate; the same for the same features.
    """
    log_mel = torch.from_numpy(np.ascontiguousarray(features.T)).float()
    if extractor.do_normalize:
        log_mel = log_mel * (2 * extractor.std) + extractor.mean
    rate = extractor.sampling_rate
    length = extractor.num_samples(1)
    shift = extractor.num_samples(2) - length
    fft_length = 1 << (length - 1).bit_length()
    bank = mel_bank(extractor.num_mel_bins, fft_length, rate, torch.device("cpu"))[:, : log_mel.shape[1]]
    magnitude = to_power(log_mel.clamp(max=60.0).exp(), bank).sqrt()
    # The features are of what went through a filter that favours high frequencies.
    angle = torch.arange(magnitude.shape[1]) * (2 * torch.pi / fft_length)
    response = (1 - PREEMPHASIS * torch.polar(torch.ones_like(angle), -angle)).abs()
    return griffin_lim((magnitude / response).T, fft_length, length, shift, rounds).numpy()


def to_power(energies: torch.Tensor, bank: torch.Tensor, rounds: int = 20) -> torch.Tensor:
    """Power spectra (T, F), none below 0, whose mel energies are about (T, M), by multiplicative updates."""
    share = bank / bank.sum(dim=1, keepdim=True).clamp(min=1e-8)
    power = energies @ share.T / bank.sum(dim=0).mean() + 1e-10
    for _ in range(rounds):
        power = power * (energies @ bank.T) / ((power @ bank) @ bank.T).clamp(min=1e-10)
    return power * (bank.sum(dim=1) > 0)


def griffin_lim(magnitude: torch.Tensor, fft_length: int, length: int, shift: int, rounds: int) -> torch.Tensor:
    """Samples whose spectra have about these magnitudes, (F, T)."""
    window = torch.hann_window(length)
    options = dict(n_fft=fft_length, hop_length=shift, win_length=length, window=window)
    generator = torch.Generator().manual_seed(0)
    phase = torch.rand(magnitude.shape, generator=generator) * (2 * torch.pi)
    spectrum, before = torch.polar(magnitude, phase), torch.zeros(1)
    num_samples = shift * (magnitude.shape[1] - 1)
    for _ in range(rounds):
        wave = torch.istft(spectrum, length=num_samples, **options)
        rebuilt = torch.stft(wave, return_complex=True, pad_mode="constant", **options)  # of any length
        ahead = rebuilt + MOMENTUM * (rebuilt - before)
        spectrum, before = torch.polar(magnitude, ahead.angle()), rebuilt
    return torch.istft(spectrum, length=num_samples, **options)
