"""Waveforms in, normalised log-mel filter banks out: what the original computes with torchaudio, in PyTorch alone."""

import copy
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from reprlib import repr as shortened

import numpy as np
import torch
from transformers import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import logging


logger = logging.get_logger(__name__)

FRAME_LENGTH_MS, FRAME_SHIFT_MS = 25, 10
LOWEST_FREQUENCY = 20.0  # Hz
PREEMPHASIS = 0.97
# What is beyond all use: a configuration of a few bytes could take all memory otherwise.
WHOLE_NUMBERS = {
    "sampling_rate": (100, 1_000_000),  # one sample per shift, at least
    "num_mel_bins": (1, 1 << 24),
    "max_length": (1, 1 << 24),
    "min_frames": (1, 1 << 24),  # or none
}
# Of a spectrogram; ten seconds have 128,000.
MOST_VALUES = 1 << 27
# Frames whose filter banks are computed together on another device than the CPU: half a gigabyte.
FRAMES_AT_ONCE = 1 << 16
# Audio that is meant to lie within [-1, 1] goes beyond by a little; integers in floating point by far.
LOUDEST_SCALED = 32.0
# What was warned of already, in this process.
_TOLD: set[str] = set()
# Of logarithms; float32 holds what is normalised by these.
NUMBERS = {"mean": (-1e6, 1e6), "std": (1e-6, 1e6), "padding_value": (-1e6, 1e6)}


class SSASTFeatureExtractor(SequenceFeatureExtractor):
    """
    Kaldi filter banks (25 ms Hann window, 10 ms shift), padded or cut to `max_length` frames, then normalised to
    `(x - mean) / (2 * std)`. The fields are those of stock AST's feature extractor.

    Args:
        feature_size (`int`, defaults to 1): Kept for compatibility with stock AST.
        sampling_rate (`int`, defaults to 16000): Sampling rate of the waveforms in Hz.
        num_mel_bins (`int`, defaults to 128): Number of mel bins.
        max_length (`int`, defaults to 1024): Frames to which clips are padded or cut.
        padding_value (`float`, defaults to 0.0): Padding, before normalisation as in the original.
        do_normalize (`bool`, defaults to `True`): Whether to normalise.
        mean, std (`float`, default to AudioSet's -4.2677393 and 4.5689974): Statistics of the log-mel values.
        return_attention_mask (`bool`, defaults to `False`): Whether to tell audio from padding. As the model was
            trained: a model that was trained without a mask gets worse with one, and the reverse.
        min_frames (`int`, *optional*): Frames of one patch of the model, such as 16, or 2 for patches of 128x2. Of a
            shorter clip nothing is left under an attention mask; there is a warning then, if this is given.
        padding (`"max_length"`, `"longest"` or `False`, defaults to `"max_length"`): How clips are padded unless a
            call says otherwise. transformers' pipelines do not, so a model for speech recognition is saved with
            `"longest"`.
        truncation (`bool`, defaults to `True`): Whether clips are cut, likewise; `False` for speech recognition.
    """

    model_input_names = ["input_values", "attention_mask"]

    def __init__(
        self,
        feature_size=1,
        sampling_rate=16000,
        num_mel_bins=128,
        max_length=1024,
        padding_value=0.0,
        do_normalize=True,
        mean=-4.2677393,
        std=4.5689974,
        return_attention_mask=False,
        min_frames=None,
        padding="max_length",
        truncation=True,
        **kwargs,
    ):
        super().__init__(
            feature_size, sampling_rate, padding_value, return_attention_mask=return_attention_mask, **kwargs
        )
        self.num_mel_bins = num_mel_bins
        self.max_length = max_length
        self.do_normalize = do_normalize
        self.mean = mean
        self.std = std
        self.min_frames = min_frames
        self.padding = padding
        self.truncation = truncation
        self._check_fields()

    def _check_fields(self):
        """ValueError if a field is of another type, or beyond what any model uses."""
        for name, (smallest, largest) in WHOLE_NUMBERS.items():
            value = getattr(self, name)
            if name == "min_frames" and value is None:
                continue
            is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not is_whole or not smallest <= value <= largest:
                raise ValueError(
                    f"{name} must be a whole number from {smallest} to {largest}; got {shortened(value)}."
                )
        if self.max_length * self.num_mel_bins > MOST_VALUES:
            raise ValueError(
                f"max_length={self.max_length} frames of num_mel_bins={self.num_mel_bins} are more than {MOST_VALUES} "
                "values per clip."
            )
        for name in ("do_normalize", "truncation"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ValueError(f"{name} must be true or false; got {shortened(getattr(self, name))}.")
        check_padding(self.padding)
        for name, (lowest, highest) in NUMBERS.items():
            value = getattr(self, name)
            is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not is_number or not lowest <= value <= highest:
                raise ValueError(f"{name} must be a number from {lowest:g} to {highest:g}; got {shortened(value)}.")

    def __call__(
        self,
        raw_speech,
        sampling_rate=None,
        padding=None,
        max_length=None,
        truncation=None,
        return_tensors=None,
        return_attention_mask=None,
        device="cpu",
        is_batched=False,
    ) -> BatchFeature:
        """
        Args:
            raw_speech: One clip or a batch of them, mono, floating point, usually within [-1, 1]. One clip is a list
                of numbers, an array or tensor of shape `(num_samples,)`; a batch is a list of clips, or an array or
                tensor `(batch_size, num_samples)`. An array with two rows is taken for stereo and refused, as is an
                array or tensor with two columns; a tensor with two rows is a batch. A clip may also be what `datasets`
                has in a column of audio: a dictionary with `array` and `sampling_rate`, or a decoder of its own.
            sampling_rate (`int`, *optional*): Sampling rate of `raw_speech` in Hz; checked against the expected one.
            padding (`"max_length"`, `"longest"` or `False`, *optional*): Pad to `max_length` frames, to the longest
                clip of the batch (`True` means the same), or not at all; configured if not given.
            max_length (`int`, *optional*): Length in frames (10 ms each) instead of the configured one.
            truncation (`bool`, *optional*): Whether to cut clips that are longer than `max_length`; configured if not
                given.
            return_tensors (`"pt"` or `"np"`, *optional*): Stacked tensors or arrays; a list of arrays if not given.
            return_attention_mask (`bool`, *optional*): Whether to return an attention mask; configured if not given.
            device (`str` or `torch.device`, defaults to `"cpu"`): Where to compute, clip by clip on the CPU, many
                clips together elsewhere. With `return_tensors="pt"` the result stays there.
            is_batched (`bool`, defaults to `False`): Says that the rows of an array are clips, even if there are two.

        Returns:
            [`BatchFeature`] with `input_values` of shape `(batch_size, num_frames, num_mel_bins)`, float32, and, on
            request, `attention_mask` of shape `(batch_size, num_frames)`, int64: 1 for audio, 0 for padding.

        Raises:
            ValueError: If the audio is not mono, not floating point, not finite or so loud that its features overflow,
                shorter than one 25 ms frame, of another sampling rate, or if clips of different lengths are to be
                stacked. The message says what to do.
        """
        if isinstance(raw_speech, Sequence) and not isinstance(raw_speech, (str, bytes, list, tuple)):
            raw_speech = list(raw_speech)  # a column of `datasets`
        raw_speech, sampling_rate = self._unpacked(raw_speech, sampling_rate)
        if sampling_rate is None:
            logger.warning_once(
                f"No sampling_rate was passed to {type(self).__name__}: audio of another rate than "
                f"{self.sampling_rate} Hz would go unnoticed."
            )
        elif sampling_rate != self.sampling_rate:
            raise ValueError(
                f"The audio has a sampling rate of {sampling_rate!r} Hz, the model expects {self.sampling_rate} Hz. "
                f"Resample it first, for example with soxr.resample(audio, {sampling_rate}, {self.sampling_rate})."
            )
        max_length = self.max_length if max_length is None else max_length
        if not isinstance(max_length, int) or max_length < 1:
            raise ValueError(f"max_length must be a positive number of frames, got {max_length!r}.")
        padding = self.padding if padding is None else padding
        truncation = self.truncation if truncation is None else truncation
        check_padding(padding)

        clips, device = self._clips(raw_speech, is_batched), torch.device(device)
        if truncation:
            self._warn_of_cut_clips(clips, max_length)
        lengths = [self.num_frames(len(clip)) for clip in clips]
        lengths = [min(length, max_length) for length in lengths] if truncation else lengths
        if padding == "max_length":
            target_lengths = [max(length, max_length) for length in lengths]
        elif padding in ("longest", True):
            target_lengths = [max(lengths)] * len(lengths)
        else:
            target_lengths = lengths
        if return_tensors is not None and len(set(target_lengths)) > 1:
            raise ValueError(
                f"Clips of {min(target_lengths)} to {max(target_lengths)} frames cannot be stacked with "
                f'padding={padding!r}, truncation={truncation}. Pass padding="longest", or no return_tensors.'
            )
        compute = self._one_by_one if device.type == "cpu" else self._together
        data = {"input_values": compute(clips, lengths, target_lengths, device)}
        return_attention_mask = self.return_attention_mask if return_attention_mask is None else return_attention_mask
        if return_attention_mask:
            self._warn_of_short_clips(lengths)
            is_audio = torch.arange(max(target_lengths)) < torch.tensor(lengths).unsqueeze(1)
            masks = is_audio.long().to(device)
            data["attention_mask"] = [mask[:target] for mask, target in zip(masks, target_lengths, strict=True)]
        if return_tensors == "pt":
            return BatchFeature({name: torch.stack(values) for name, values in data.items()})
        arrays = {name: [value.cpu().numpy() for value in values] for name, values in data.items()}
        return BatchFeature(arrays, tensor_type=return_tensors)

    def _unpacked(self, raw_speech, sampling_rate: int | None) -> tuple:
        """Arrays for what `datasets` has in a column of audio, and the sampling rate of all, which has to be one."""
        clips = raw_speech if isinstance(raw_speech, (list, tuple)) and len(raw_speech) else [raw_speech]
        if not isinstance(clips[0], Mapping) and not hasattr(clips[0], "get_all_samples"):
            return raw_speech, sampling_rate
        arrays, rates = zip(*(decoded(clip, i, sampling_rate) for i, clip in enumerate(clips)), strict=True)
        expected = self.sampling_rate if sampling_rate is None else sampling_rate
        for i, rate in enumerate(rates):
            if rate != expected:
                raise ValueError(
                    f"Clip {i} has a sampling rate of {rate!r} Hz, expected {expected} Hz. Resample it first, for "
                    f'example with dataset.cast_column("audio", Audio(sampling_rate={self.sampling_rate})).'
                )
        return (list(arrays) if clips is raw_speech else arrays[0]), rates[0]

    def _pad(self, processed_features, *args, **kwargs):
        """
        What `pad` does to one clip. Of a spectrogram (num_frames, num_mel_bins) frames are padded, with the value that
        padding has after normalisation, as if the clip had been padded when its features were extracted. Without a
        mask, frames that were padded then are known by that value: callers that pass features alone get their mask.
        """
        if np.ndim(processed_features[self.model_input_names[0]]) < 2:
            return super()._pad(processed_features, *args, **kwargs)
        spectrograms = copy.copy(self)
        spectrograms.feature_size = self.num_mel_bins
        if self.do_normalize:
            spectrograms.padding_value = (self.padding_value - self.mean) / (2 * self.std)
        if kwargs.get("return_attention_mask") and "attention_mask" not in processed_features:
            frames = np.asarray(processed_features[self.model_input_names[0]], dtype=np.float32)
            is_audio = ~np.isclose(frames, spectrograms.padding_value, rtol=1e-6, atol=1e-6).all(axis=-1)
            length = int(np.flatnonzero(is_audio)[-1]) + 1 if is_audio.any() else 0
            processed_features["attention_mask"] = (np.arange(len(frames)) < length).astype(np.int64)
        return SequenceFeatureExtractor._pad(spectrograms, processed_features, *args, **kwargs)

    def _check_values(self, sums: torch.Tensor, lows: torch.Tensor, highs: torch.Tensor, begin: int = 0):
        """
        Of clips from number `begin` on, (B,) each: the sums of their log-mel features, their lowest and their highest
        sample. ValueError that names the first clip whose features are not finite; a warning, once, that names a clip
        whose samples lie far beyond [-1, 1].

        One value that is not finite spoils the sum, and others cannot: logarithms are small. The device is asked once.
        """
        sums, lows, highs = torch.stack((sums, lows, highs)).tolist()
        is_finite = [math.isfinite(value) for value in sums]
        if not all(is_finite):
            number = begin + is_finite.index(False)
            raise ValueError(f"Clip {number} holds NaN, infinite or absurdly large samples; repair or drop it.")
        peaks = [max(high, -low) for low, high in zip(lows, highs, strict=True)]
        if max(peaks) > LOUDEST_SCALED and "scale" not in _TOLD:
            _TOLD.add("scale")
            peak = max(peaks)
            # Of 16, 24 and 32 bits; resampling goes a little beyond.
            scale = next((size for size in (2**15, 2**23) if peak <= 1.5 * size), 2**31)
            logger.warning(
                f"Clip {begin + peaks.index(peak)} has samples up to {peak:.6g}, far beyond [-1, 1], as of integers "
                f"in floating point. Divide it by {scale}; the model knows no such loud audio."
            )

    def _warn_of_cut_clips(self, clips: list[torch.Tensor], max_length: int):
        """A warning, once, that names the first clip, (num_samples,), of which frames are dropped, and how many."""
        for i, clip in enumerate(clips):
            num_frames = self.num_frames(len(clip))
            if num_frames > max_length and "cut" not in _TOLD:
                _TOLD.add("cut")
                seconds, kept = (FRAME_SHIFT_MS / 1000 * count for count in (num_frames, max_length))
                logger.warning(
                    f"Clip {i} has {seconds:.4g} s, of which max_length={max_length} frames keep the first {kept:.4g} "
                    f"s: {seconds - kept:.4g} s ({1 - kept / seconds:.0%}) are dropped, and so of every long clip. "
                    "Pass windows, or a larger max_length."
                )

    def _warn_of_short_clips(self, lengths: list[int]):
        """A warning that names the clips, of so many frames, of which no patch is left under an attention mask."""
        short = [i for i, length in enumerate(lengths) if length < (self.min_frames or 0)]
        if short:
            milliseconds = 1000 * self.num_samples(self.min_frames) / self.sampling_rate
            logger.warning(
                f"Too short for one patch of the model, {self.min_frames} frames ({milliseconds:g} ms): clip "
                f"{', '.join(map(str, short[:10]))}{', ...' if short[10:] else ''} of the batch. With an attention "
                "mask the output says nothing about such a clip. Drop or lengthen it."
            )

    def _clips(self, raw_speech, is_batched: bool) -> list[torch.Tensor]:
        """The clips of a call, checked, as float32 of shape (num_samples,)."""
        arrays = (np.ndarray, torch.Tensor)
        if isinstance(raw_speech, arrays):
            if raw_speech.ndim == 2 and not is_batched and looks_like_stereo(raw_speech):
                raise ValueError(
                    f"raw_speech has the shape {tuple(raw_speech.shape)}, which looks like stereo; expected mono. Mix "
                    "the channels down, for example with audio.mean(axis=channel_axis). If these are two clips, pass "
                    "is_batched=True, or a list."
                )
            is_batch = raw_speech.ndim > 1
            is_empty = raw_speech.ndim == 0 or len(raw_speech) == 0
        elif isinstance(raw_speech, (list, tuple)):
            is_empty = len(raw_speech) == 0
            is_batch = (
                not is_empty and isinstance(raw_speech[0], (list, tuple, *arrays)) and np.ndim(raw_speech[0]) > 0
            )
        else:
            raise ValueError(
                f"raw_speech must be an array, a tensor or a list of them, got {type(raw_speech).__name__}."
            )
        if is_empty:
            raise ValueError("raw_speech is empty; pass at least one clip of 25 ms.")
        return [self._clip(clip, i) for i, clip in enumerate(raw_speech)] if is_batch else [self._clip(raw_speech, 0)]

    def _clip(self, clip, index: int) -> torch.Tensor:
        try:
            if not isinstance(clip, torch.Tensor):
                clip = np.ascontiguousarray(clip)
                # PyTorch has this machine's byte order alone.
                clip = torch.from_numpy(clip.astype(clip.dtype.newbyteorder("="), copy=False))
            clip = clip.detach()
        except (TypeError, ValueError) as error:
            raise ValueError(f"Clip {index} is no array of numbers ({error}).") from error
        if clip.layout != torch.strided or clip.is_meta:
            raise ValueError(f"Clip {index} is a {clip.layout} tensor on {clip.device}; expected plain numbers.")
        if clip.ndim != 1:
            raise ValueError(
                f"Clip {index} has the shape {tuple(clip.shape)}; expected mono audio of shape (num_samples,). Mix "
                "the channels down first, for example with audio.mean(axis=channel_axis)."
            )
        if not clip.is_floating_point():
            raise ValueError(
                f"Clip {index} has the data type {clip.dtype}; expected floating point. Divide integer samples by "
                "their full scale (32768 for 16 bits)."
            )
        if len(clip) < self._samples(FRAME_LENGTH_MS):
            raise ValueError(
                f"Clip {index} has {len(clip)} samples, fewer than one frame of {self._samples(FRAME_LENGTH_MS)} "
                f"({FRAME_LENGTH_MS} ms). Drop or pad it."
            )
        return clip.float()

    def num_samples(self, num_frames: int) -> int:
        """The samples that `num_frames` frames of a spectrogram take."""
        return (num_frames - 1) * self._samples(FRAME_SHIFT_MS) + self._samples(FRAME_LENGTH_MS)

    def num_frames(self, num_samples):
        """The frames of a clip of `num_samples`, an integer or a tensor of them: those that lie within it."""
        return (num_samples - self._samples(FRAME_LENGTH_MS)) // self._samples(FRAME_SHIFT_MS) + 1

    def _samples(self, milliseconds: int) -> int:
        return int(self.sampling_rate * milliseconds * 0.001)

    def _one_by_one(self, clips: list[torch.Tensor], lengths: list[int], targets: list[int], device) -> list:
        """
        The spectrograms, (target, num_mel_bins) each, of clips, (num_samples,) each, of which `lengths` frames are
        wanted, on a processor. ValueError if a clip is not finite.
        """
        clips = [clip.to(device) for clip in clips]
        features = [self._filter_banks(*pair) for pair in zip(clips, lengths, strict=True)]
        values = [(each.sum(), clip.min(), clip.max()) for each, clip in zip(features, clips, strict=True)]
        self._check_values(*(torch.stack(each) for each in zip(*values, strict=True)))
        return [self._finish(*pair) for pair in zip(features, targets, strict=True)]

    def _together(self, clips: list[torch.Tensor], lengths: list[int], targets: list[int], device) -> list:
        """The same for many clips at once, on another device. Most frames of a batch should not be padding."""
        spectrograms: list[torch.Tensor] = []
        at_once = max(FRAMES_AT_ONCE // max(lengths), 1)
        for begin in range(0, len(clips), at_once):
            part, wanted = clips[begin : begin + at_once], lengths[begin : begin + at_once]
            # One copy for all of them.
            is_even = len({len(clip) for clip in part}) == 1
            padded = torch.stack(part) if is_even else torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
            waveforms = padded.to(device)
            num_samples = torch.tensor([len(clip) for clip in part]).to(device)
            features = self._batch_filter_banks(waveforms, num_samples, max(wanted))
            is_padding = torch.arange(max(wanted)) >= torch.tensor(wanted).unsqueeze(1)
            features = features.masked_fill_(is_padding.to(device).unsqueeze(2), self.padding_value)
            lows, highs = waveforms.aminmax(dim=1)
            self._check_values(features.sum(dim=(1, 2)), lows, highs, begin)
            features = self._finish(features, max(targets[begin : begin + at_once]))
            spectrograms += [each[:target] for each, target in zip(features, targets[begin:], strict=False)]
        return spectrograms

    def _filter_banks(self, waveform: torch.Tensor, num_frames: int) -> torch.Tensor:
        """
        The first log-mel filter banks (num_frames, num_mel_bins) of (num_samples,), before padding and normalisation.

        On the CPU bitwise what `torchaudio.compliance.kaldi.fbank` returns, so the order of operations matters. One
        clip at a time, because the intermediate results of a batch would not fit into the processor's cache.
        """
        length, shift = self._samples(FRAME_LENGTH_MS), self._samples(FRAME_SHIFT_MS)
        # Of the whole clip, even if it is cut. The threads of a processor share a long sum, and more threads round it
        # differently: in float64 that is lost when the mean is rounded to float32.
        waveform = waveform - waveform.mean(dtype=torch.float64).float()
        waveform = waveform[: self.num_samples(num_frames)]
        frames = waveform.unfold(0, length, shift)
        # One sample more in front, so that each sample has a predecessor; Kaldi repeats the first.
        centred = frames.new_empty(len(frames), length + 1)
        torch.sub(frames, frames.mean(dim=1, keepdim=True), out=centred[:, 1:])
        centred[:, 0] = centred[:, 1]
        # The transform's input with its zeros at the end, written in place: copies would cost more than arithmetic.
        fft_length = 1 << (length - 1).bit_length()
        padded = frames.new_empty(len(frames), fft_length)
        padded[:, length:] = 0.0
        windowed = torch.mul(centred[:, :-1], PREEMPHASIS, out=padded[:, :length])
        torch.sub(centred[:, 1:], windowed, out=windowed).mul_(_window(length, waveform.device))
        spectrum = torch.fft.rfft(padded)
        # The same numbers as spectrum.abs(), in half the time.
        power = torch.hypot(spectrum.real, spectrum.imag).square_()
        bank = mel_bank(self.num_mel_bins, fft_length, self.sampling_rate, waveform.device)
        return (power @ bank).clamp_(min=torch.finfo(torch.float32).eps).log_()

    def extract(self, waveforms: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
        """
        What a call returns for a batch of clips that are checked already, computed on their device without waiting for
        it. The numbers are those of a call within 1e-4; sums are made in another order.

        Args:
            waveforms (`torch.FloatTensor` of shape `(batch_size, length)`): Clips at `sampling_rate`, of at least one
                frame each; what follows a clip does not matter.
            num_samples (`torch.LongTensor` of shape `(batch_size,)`): How long the clips are.

        Returns:
            `torch.FloatTensor` of shape `(batch_size, max_length, num_mel_bins)`, padded or cut, then normalised.
        """
        at_once = max(FRAMES_AT_ONCE // self.max_length, 1)
        parts = zip(waveforms.split(at_once), num_samples.split(at_once), strict=True)
        features = torch.cat([self._batch_filter_banks(*part, self.max_length) for part in parts])
        is_padding = torch.arange(self.max_length, device=features.device) >= self.num_frames(num_samples).unsqueeze(1)
        features = features.masked_fill_(is_padding.unsqueeze(2), self.padding_value)
        return self._finish(features, self.max_length)

    def _batch_filter_banks(self, waveforms, num_samples, num_frames: int) -> torch.Tensor:
        """
        Log-mel filter banks (B, num_frames, num_mel_bins) of (B, length) whose clips have `num_samples` (B,), before
        padding and normalisation. Frames that reach beyond a clip hold no meaning.
        """
        length, shift = self._samples(FRAME_LENGTH_MS), self._samples(FRAME_SHIFT_MS)
        is_audio = torch.arange(waveforms.shape[1], device=waveforms.device) < num_samples.unsqueeze(1)
        waveforms = waveforms.masked_fill(~is_audio, 0.0)
        waveforms = waveforms - waveforms.sum(dim=1, keepdim=True) / num_samples.unsqueeze(1)
        missing = self.num_samples(num_frames) - waveforms.shape[1]
        frames = torch.nn.functional.pad(waveforms, (0, missing)).unfold(1, length, shift)  # (B, num_frames, length)
        centred = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat((centred[..., :1], centred[..., :-1]), dim=2)
        fft_length = 1 << (length - 1).bit_length()
        spectrum = torch.fft.rfft((centred - PREEMPHASIS * before) * _window(length, waveforms.device), fft_length)
        power = spectrum.real.square() + spectrum.imag.square()
        bank = mel_bank(self.num_mel_bins, fft_length, self.sampling_rate, waveforms.device)
        # In double precision, which Apple's GPUs do not have, neither TF32 nor autocast rounds the factors.
        dtype = torch.float32 if waveforms.device.type == "mps" else torch.float64
        energies = (power.to(dtype) @ bank.to(dtype)).float()
        return energies.clamp(min=torch.finfo(torch.float32).eps).log()

    def _finish(self, features: torch.Tensor, length: int) -> torch.Tensor:
        """Pad (..., num_frames, num_mel_bins) to `length` frames, then normalise: padding is part of what is."""
        if (missing := length - features.shape[-2]) > 0:
            features = torch.nn.functional.pad(features, (0, 0, 0, missing), value=self.padding_value)
        return features.sub_(self.mean).div_(2 * self.std) if self.do_normalize else features


def check_padding(padding):
    """ValueError unless clips can be padded so."""
    # 0 and 1 are equal to the last two, but nobody means them.
    is_known = isinstance(padding, (str, bool)) and padding in ("max_length", "longest", "do_not_pad", True, False)
    if not is_known:
        raise ValueError(f'padding must be "max_length", "longest" or False, got {padding!r}.')


def decoded(clip, index: int, sampling_rate: int | None) -> tuple:
    """Samples and sampling rate of what `datasets` has as a clip; of plain numbers the rate is `sampling_rate`."""
    if hasattr(clip, "get_all_samples"):
        samples = clip.get_all_samples()
        return samples.data.mean(dim=0), samples.sample_rate
    if not isinstance(clip, Mapping):
        return clip, sampling_rate
    if clip.get("array") is None or clip.get("sampling_rate") is None:
        raise ValueError(
            f"Clip {index} is a dictionary with {', '.join(map(repr, clip)) or 'nothing'}; expected 'array' and "
            "'sampling_rate', as datasets.Audio decodes it."
        )
    return np.asarray(clip["array"]), clip["sampling_rate"]


def looks_like_stereo(audio) -> bool:
    """
    Whether an array or tensor of two dimensions has two channels, rather than clips in its rows. A tensor of two rows
    comes from a loop over batches of clips; as an array, two rows are what most readers make of stereo.
    """
    rows, columns = audio.shape
    return columns == 2 or (rows == 2 and not isinstance(audio, torch.Tensor))


@lru_cache(maxsize=8)
def _window(length: int, device: torch.device) -> torch.Tensor:
    return torch.hann_window(length, periodic=False, device=device)


@lru_cache(maxsize=8)
def mel_bank(num_mel_bins: int, fft_length: int, sampling_rate: int, device: torch.device) -> torch.Tensor:
    """
    Kaldi's triangular mel filters, `(fft_length // 2 + 1, num_mel_bins)`.

    In float32 and in torchaudio's order of operations: the same formula in float64 moves features by up to 3e-4.
    """
    lowest, highest = (1127.0 * math.log(1.0 + hertz / 700.0) for hertz in (LOWEST_FREQUENCY, sampling_rate / 2))
    step = (highest - lowest) / (num_mel_bins + 1)
    index = torch.arange(num_mel_bins).unsqueeze(1)
    left, centre, right = lowest + index * step, lowest + (index + 1.0) * step, lowest + (index + 2.0) * step
    frequencies = sampling_rate / fft_length * torch.arange(fft_length // 2, dtype=torch.float32)
    mel = 1127.0 * (1.0 + frequencies / 700.0).log()
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    bank = torch.minimum(rising, falling).clamp(min=0.0)
    # Kaldi leaves out the highest frequency.
    return torch.nn.functional.pad(bank, (0, 1)).T.to(device)


SSASTFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
