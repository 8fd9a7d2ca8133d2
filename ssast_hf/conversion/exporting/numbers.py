"""The numbers of a feature extractor that whoever has no PyTorch needs to make the same features."""

from dataclasses import dataclass

import torch

from ...configuration_ssast import SSASTConfig
from ...feature_extraction_ssast import LOWEST_FREQUENCY, PREEMPHASIS, SSASTFeatureExtractor


@dataclass
class Preprocessing:
    """
    What `preprocessor.json` holds.

    Args:
        sampling_rate (`int`): Of waveforms, in Hz.
        frame_length, frame_shift (`int`): In samples.
        fft_length (`int`): Samples of a Fourier transform, the frame and zeros after it.
        preemphasis, lowest_frequency (`float`): Of Kaldi's filter banks; Hz.
        num_mel_bins (`int`): Of the input.
        smallest_energy (`float`): What energies are raised to before the logarithm.
        padding_value (`float`): Of padding, before it is normalised.
        mean, std (`float`): Features are `(x - mean) / (2 * std)`.
        pad_to, cut_to (`int`, *optional*): Frames that shorter clips are padded to, and longer ones are cut to.
        min_frames (`int`): Fewest frames that the model takes.
        min_samples (`int`): Fewest samples that become as many, with padding.
        max_samples (`int`, *optional*): Most samples that are used.
        max_length (`int`): Frames of a clip of the length that the model was made for.
        time_stride (`int`): Frames from one time step of the outputs to the next.
    """

    sampling_rate: int
    frame_length: int
    frame_shift: int
    fft_length: int
    preemphasis: float
    lowest_frequency: float
    num_mel_bins: int
    smallest_energy: float
    padding_value: float
    mean: float
    std: float
    pad_to: int | None
    cut_to: int | None
    min_frames: int
    min_samples: int
    max_samples: int | None
    max_length: int
    time_stride: int

    def num_samples(self, num_frames: int) -> int:
        """The samples that `num_frames` frames of a spectrogram take."""
        return (num_frames - 1) * self.frame_shift + self.frame_length


def preprocessing_of(extractor: SSASTFeatureExtractor, config: SSASTConfig, has_head: bool) -> Preprocessing:
    """
    Clips of a model with a head are padded and cut as it was trained; not padded if that was with an attention mask,
    which leaves padding out again. Those of an encoder alone are of any length, as in [`Embedder`].
    """
    length = extractor.num_samples(1)
    shift = extractor.num_samples(2) - length
    is_padded = has_head and extractor.padding == "max_length" and not extractor.return_attention_mask
    cut_to = extractor.max_length if has_head and extractor.truncation else None
    # What is not normalised is (x - 0) / (2 * 0.5).
    mean, std = (extractor.mean, extractor.std) if extractor.do_normalize else (0.0, 0.5)
    return Preprocessing(
        sampling_rate=extractor.sampling_rate,
        frame_length=length,
        frame_shift=shift,
        fft_length=1 << (length - 1).bit_length(),
        preemphasis=PREEMPHASIS,
        lowest_frequency=LOWEST_FREQUENCY,
        num_mel_bins=extractor.num_mel_bins,
        smallest_energy=torch.finfo(torch.float32).eps,
        padding_value=float(extractor.padding_value),
        mean=float(mean),
        std=float(std),
        pad_to=extractor.max_length if is_padded else None,
        cut_to=cut_to,
        min_frames=config.patch_shape[1],
        min_samples=extractor.num_samples(1 if is_padded else config.patch_shape[1]),
        max_samples=None if cut_to is None else extractor.num_samples(cut_to),
        max_length=config.max_length,
        time_stride=config.time_stride,
    )
