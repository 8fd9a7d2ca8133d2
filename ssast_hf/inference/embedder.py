"""Embeddings of recordings of any length: one vector per clip, per time step, or per patch."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from ..modeling_ssast import NUM_PREFIX_TOKENS
from .bucketing import batches_of
from .clips import column_of, is_batch, is_table, to_clip
from .encoders import as_device, default_device, load_encoder
from .stitching import Window, plan_windows


LEVELS, POOLING = ("clip", "frame", "patch"), ("mean", "cls")
DTYPES = ("float32", "bfloat16", "float16")
# Windows that are encoded together, by default: on a CPU, more are not faster.
BATCH_SIZES = {"cpu": 8}
LARGE_BATCH_SIZE = 64
# Batches that are read before the first of them is encoded, so that windows of like lengths are together.
LOOK_AHEAD = 16


class Piece(NamedTuple):
    """A window of a clip: of which clip, in words of whoever asks; which of its steps; and its samples, if any."""

    clip: Any
    window: Window
    samples: np.ndarray | None


class Embedder:
    """
    A pretrained encoder as a function from recordings to embeddings. It can be pickled, and used as it is with
    `datasets.map`, Ray Data and Spark.

    What it returns for a clip depends on that clip alone, beyond rounding: not on the others in the batch, nor on
    their order. Short clips are padded under an attention mask. Long ones are encoded in windows that overlap; of
    what two windows share each gives its half.

    Args:
        model (`str` or `Path`): A folder of any SSAST model, with or without a head, or its name on the Hub.
        level (`str`, defaults to `"clip"`): `"clip"` for one vector, `"frame"` for one per time step, which is the
            mean of its patches over frequency, or `"patch"`.
        pooling (`str`, *optional*): Of the level `"clip"`: `"mean"` over all patches, or `"cls"`, the mean of the two
            tokens in front, itself a mean over windows. As the model's `pooling_mode` if not given.
        layer (`int` or `"all"`, defaults to -1): Which hidden states: 0 for the embeddings, then one per layer;
            negative from the end. Of the last one, after the final layer norm. `"all"` adds an axis in front.
        window, hop (`float`, *optional*): Seconds that are encoded together, by default what the model was trained
            on, and from one window to the next, by default three quarters of it.
        device (`str` or `torch.device`, *optional*): The accelerator if there is one, else the CPU.
        dtype (`torch.dtype` or `str`, defaults to float32): In which type to compute; results are float32.
        batch_size (`int` or `"auto"`): Windows that are encoded together.

    Raises:
        ValueError: If an option is none of these, or if the model cannot be used.
        OSError: If there is no such model.
    """

    def __init__(
        self,
        model,
        level="clip",
        pooling=None,
        layer=-1,
        window=None,
        hop=None,
        device=None,
        dtype=None,
        batch_size="auto",
    ):
        self.device = default_device() if device is None else as_device(device)
        dtype = getattr(torch, one_of("dtype", dtype, DTYPES)) if isinstance(dtype, str) else dtype or torch.float32
        self.encoder, self.feature_extractor = load_encoder(model, self.device, dtype)
        config = self.encoder.config
        self.level = one_of("level", level, LEVELS)
        if pooling is None and level == "clip":
            pooling = config.pooling_mode
            if pooling not in POOLING:
                raise ValueError(
                    f"{model} pools a clip by pooling_mode={pooling!r}, which is no part of its encoder. "
                    f"Pass pooling={' or '.join(map(repr, POOLING))}."
                )
        self.pooling = one_of("pooling", pooling or POOLING[0], POOLING)
        count = config.num_hidden_layers + 1
        self.layer = layer if layer == "all" else one_of("layer", layer, range(-count, count)) % count
        if batch_size == "auto":
            batch_size = BATCH_SIZES.get(self.device.type, LARGE_BATCH_SIZE)
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f'batch_size must be "auto" or an integer from 1 up; got {batch_size!r}.')
        self.batch_size = batch_size
        self.window_steps, self.hop_steps = self.steps_of(window, hop)

    def steps_of(self, window: float | None, hop: float | None) -> tuple[int, int]:
        """The size of windows, and how far apart they are, in columns of patches."""
        config = self.encoder.config
        shift, length = config.frame_seconds
        shortest = (config.patch_shape[1] - 1) * shift + length
        if window is not None and not shortest <= window < float("inf"):
            raise ValueError(f"window must be at least one patch, {shortest:g} seconds; got {window!r}.")
        num_frames = config.max_length if window is None else int(round((window - length) / shift, 6)) + 1
        size = config.time_grid(num_frames)
        if hop is None:
            return size, max(size - size // 4, 1)
        step = shift * config.time_stride
        if not step <= hop <= size * step:
            raise ValueError(f"hop must be from one step, {step:g} s, to one window, {size * step:g} s; got {hop!r}.")
        return size, int(round(hop / step, 6))

    def __call__(self, clips, sampling_rate: int | None = None, return_times: bool = False):
        """
        Args:
            clips: One clip or a list of them. A clip is a path; an array, tensor or list of numbers `(num_samples,)`,
                mono, floating point; or a dictionary with `array` and `sampling_rate`, with `bytes` or with `path`, as
                in `datasets`. A dictionary of columns, one of them `audio`, `path`, `file` or `array`, is a table.
            sampling_rate (`int`, *optional*): Of clips that are numbers without one, in Hz; the model's if not given.
            return_times (`bool`, defaults to `False`): Also return the centres of the steps.

        Returns:
            float32 arrays. For one clip `(hidden_size,)`; at the level `"frame"` `(num_steps, hidden_size)`; at
            `"patch"` `(grid_frequency, num_steps, hidden_size)`; with `layer="all"` with an axis of
            `num_hidden_layers + 1` in front. Of a list of clips, an array `(num_clips, ...)` at the level `"clip"`,
            else a list. Of a table, the table with a column `embedding`.
            With `return_times`, a pair of that and of times in seconds, `(num_steps,)`, or of a list of them.

        Raises:
            ValueError: If a clip is no audio, not mono, not finite, or shorter than a patch; it is named.
            OSError: If there is no such file.
        """
        if is_table(clips):
            return {**clips, "embedding": self(column_of(clips), sampling_rate)}
        several = is_batch(clips)
        rate = self.feature_extractor.sampling_rate
        opened = [
            to_clip(clip, f"Clip {i}", sampling_rate or rate, rate)
            for i, clip in enumerate(clips if several else [clips])
        ]
        embeddings = self.embed(opened)
        times = [self.encoder.config.frame_times(self.num_frames(clip.num_samples)) for clip in opened]
        if not several:
            return (embeddings[0], times[0]) if return_times else embeddings[0]
        stacked = stack(embeddings, self.encoder.config.hidden_size) if self.level == "clip" else embeddings
        return (stacked, times) if return_times else stacked

    def embed(self, clips: list) -> list[np.ndarray]:
        """An array per clip as from [`to_clip`]; shapes as for one clip above."""
        plans = [self.windows_of(clip.num_samples, clip.name) for clip in clips]
        pieces = (
            Piece(number, window, clip.read(begin, end))
            for number, clip in enumerate(clips)
            for window, begin, end in plans[number]
        )
        parts: list[list[np.ndarray]] = [[] for _ in clips]
        for piece, part in self.encode_in_order(pieces):
            parts[piece.clip].append(part)
        return [self.join(each) for each in parts]

    def join(self, parts: list[np.ndarray]) -> np.ndarray:
        """What the windows of a clip, as from [`encode`], make together."""
        if self.level != "clip":
            return np.concatenate(parts, axis=-2)
        sums = np.concatenate(parts)  # over each window's steps, whose number is the last column
        return sums[..., :-1].sum(0) / sums[..., -1:].sum(0)

    def encode_in_order(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, np.ndarray]]:
        """Pieces with what is kept of each, in their order; no more are read at once than [`LOOK_AHEAD`] batches."""
        waiting: list[Piece] = []
        for piece in pieces:
            waiting.append(piece)
            if len(waiting) == LOOK_AHEAD * self.batch_size:
                yield from zip(waiting, self.encode_all(waiting), strict=True)
                waiting = []
        yield from zip(waiting, self.encode_all(waiting), strict=True)

    def encode_all(self, pieces: list[Piece]) -> list[np.ndarray]:
        """What is kept of each of a few pieces; of one without samples nothing, an empty array."""
        results = [np.zeros(0, dtype=np.float32)] * len(pieces)
        lengths = {number: len(piece.samples) for number, piece in enumerate(pieces) if piece.samples is not None}
        whole = list(lengths)
        for batch in batches_of(list(lengths.values()), self.batch_size):
            numbers = [whole[place] for place in batch]
            for number, result in zip(numbers, self.encode([pieces[number] for number in numbers]), strict=True):
                results[number] = result
        return results

    def num_frames(self, num_samples: int) -> int:
        """Frames of the spectrogram of a clip."""
        shift = self.feature_extractor.num_samples(2) - self.feature_extractor.num_samples(1)
        return (num_samples - self.feature_extractor.num_samples(1)) // shift + 1

    def is_long(self, num_samples: int) -> bool:
        """Whether a clip takes several windows."""
        return self.encoder.config.time_grid(self.num_frames(num_samples)) > self.window_steps

    def windows_of(self, num_samples: int, name: str) -> list[tuple[Window, int, int]]:
        """The windows of a clip, each with the samples that it begins and ends at; ValueError if it is too short."""
        config, samples_of = self.encoder.config, self.feature_extractor.num_samples
        shortest = samples_of(config.patch_shape[1])
        if num_samples < shortest:
            raise ValueError(
                f"{name} has {num_samples} samples; one patch takes {shortest} at "
                f"{self.feature_extractor.sampling_rate} Hz. Drop or lengthen it."
            )
        windows = plan_windows(config.time_grid(self.num_frames(num_samples)), self.window_steps, self.hop_steps)
        if len(windows) == 1:
            return [(windows[0], 0, num_samples)]
        shift = (samples_of(2) - samples_of(1)) * config.time_stride
        size = samples_of((self.window_steps - 1) * config.time_stride + config.patch_shape[1])
        return [(window, window.start * shift, window.start * shift + size) for window in windows]

    @torch.inference_mode()
    def encode(self, pieces: list[Piece]) -> list[np.ndarray]:
        """What is kept of each window: (..., steps, D), or for clips (1, ..., D + 1), sums and the number of steps."""
        inputs = self.feature_extractor(
            [piece.samples for piece in pieces],
            sampling_rate=self.feature_extractor.sampling_rate,
            padding="longest",
            truncation=False,
            return_attention_mask=True,
            return_tensors="pt",
            device=self.device,
        )
        tokens = self.hidden_states(inputs["input_values"], inputs["attention_mask"])
        grid = self.encoder.grid_shape(inputs["input_values"])
        patches = tokens[:, :, NUM_PREFIX_TOKENS:].unflatten(2, grid)  # (layers, B, frequency, time, D)
        prefix = tokens[:, :, :NUM_PREFIX_TOKENS].mean(dim=2)  # (layers, B, D)
        results = []
        for i, (_, window, _) in enumerate(pieces):
            kept = patches[:, i, :, window.first - window.start : window.last - window.start]
            steps = kept.shape[2]
            if self.level == "clip":
                total = kept.mean(dim=1).sum(dim=1) if self.pooling == "mean" else prefix[:, i] * steps
                kept = torch.nn.functional.pad(total, (0, 1), value=steps)[None]
            elif self.level == "frame":
                kept = kept.mean(dim=1)
            if self.layer != "all":  # the axis of layers
                kept = kept.squeeze(1 if self.level == "clip" else 0)
            results.append(kept)
        # To the CPU together: each way there waits for the device.
        flat = torch.cat([kept.flatten() for kept in results]).cpu().numpy()
        ends = np.cumsum([kept.numel() for kept in results])[:-1]
        return [part.reshape(kept.shape) for part, kept in zip(np.split(flat, ends), results, strict=True)]

    def hidden_states(self, input_values: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The wanted layers, (layers, B, L, D) float32, of (B, frames, mels)."""
        last = self.encoder.config.num_hidden_layers
        selection = True if self.layer == "all" else [self.layer] if self.layer != last else False
        outputs = self.encoder(
            input_values,
            attention_mask,
            output_hidden_states=selection,
            output_attentions=False,
            return_dict=True,
        )
        states = {i: state for i, state in enumerate(outputs.hidden_states or ()) if state is not None}
        states[last] = outputs.last_hidden_state
        wanted = sorted(states) if self.layer == "all" else [self.layer]
        return torch.stack([states[i] for i in wanted]).float()


def stack(embeddings: list[np.ndarray], width: int) -> np.ndarray:
    """One array of several clips', also of none."""
    return np.stack(embeddings) if embeddings else np.zeros((0, width), dtype=np.float32)


def one_of(name: str, value, allowed):
    """The value, if it is allowed; ValueError that names the option if not."""
    if isinstance(value, bool) or value not in allowed:
        choices = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(map(repr, allowed))
        raise ValueError(f"{name} must be one of {choices}; got {value!r}.")
    return value
