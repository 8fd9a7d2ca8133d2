"""Embeddings of recordings of any length: one vector per clip, per time step, or per patch."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from .bucketing import batches_of
from .clips import check_mono, is_batch, is_table, rows_of, to_clip
from .encoders import as_device, default_device, load_encoder, load_layer_weights
from .pooling import join, keep
from .stitching import Window, plan_windows


LEVELS, POOLING = ("clip", "frame", "patch"), ("mean", "cls")
DTYPES = ("float32", "bfloat16", "float16")
# Threads of a processor that are kept busy by what is as long as one window; more does not stay in the cache.
THREADS_PER_WINDOW = 4
# Windows that are encoded together by default; on a processor only if they are short.
BATCH_SIZE_ON_CPU, BATCH_SIZE = 8, 64
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
        layer (`int`, `"all"` or `"weighted"`, defaults to -1): Which hidden states: 0 for the embeddings, then one
            per layer; negative from the end. Of the last one, after the final layer norm. `"all"` adds an axis in
            front. `"weighted"` is the sum by the weights that a head has learned with `use_weighted_layer_sum`.
        window, hop (`float`, *optional*): Seconds that are encoded together, by default what the model was trained
            on, and from one window to the next, by default three quarters of it.
        device (`str` or `torch.device`, *optional*): The accelerator if there is one, else the CPU.
        dtype (`torch.dtype` or `str`, defaults to float32): In which type to compute; results are float32.
        batch_size (`int` or `"auto"`): Most windows that are encoded together. Results depend on it by rounding alone.

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
        name = one_of("dtype", str(dtype or torch.float32).removeprefix("torch."), DTYPES)
        self.encoder, self.feature_extractor = load_encoder(model, self.device, getattr(torch, name))
        config = self.encoder.config
        self.level = one_of("level", level, LEVELS)
        if pooling is None:
            # As `pooler_output`; the other ways to pool are parts of heads.
            pooling = "cls" if config.pooling_mode == "cls" else "mean"
        self.pooling = one_of("pooling", pooling, POOLING)
        count = config.num_hidden_layers + 1
        self.layer = layer if layer in ("all", "weighted") else one_of("layer", layer, range(-count, count)) % count
        if layer == "weighted":
            self.layer_weights = load_layer_weights(model, count).to(self.device)
        self.most_steps = None
        if batch_size == "auto" and self.device.type == "cpu":
            few = max(torch.get_num_threads() // THREADS_PER_WINDOW, 1)
            batch_size, self.most_steps = BATCH_SIZE_ON_CPU * few, config.grid_shape[1] * few
        elif batch_size == "auto":
            batch_size = BATCH_SIZE
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
                in `datasets`. A dictionary of columns, one of them `audio`, `path` or as in a manifest, is a table.
            sampling_rate (`int`, *optional*): Of clips that are numbers without one, in Hz; the model's if not given.
            return_times (`bool`, defaults to `False`): Also return the centres of the steps.

        Returns:
            float32 arrays. For one clip `(hidden_size,)`; at the level `"frame"` `(num_steps, hidden_size)`; at
            `"patch"` `(grid_frequency, num_steps, hidden_size)`; with `layer="all"` with an axis of
            `num_hidden_layers + 1` in front. Of a list of clips, an array `(num_clips, ...)` at the level `"clip"`,
            else a list. Of a table, the table with a column `embedding`.
            With `return_times`, a pair of that and of times in seconds, `(num_steps,)`, or of a list of them; of a
            table, one more column `times`.

        Raises:
            ValueError: If a clip is no audio, not mono, not finite, or shorter than a patch; it is named.
            OSError: If there is no such file.
        """
        if is_table(clips):
            results = self(rows_of(clips), sampling_rate, return_times)
            embeddings, times = results if return_times else (results, None)
            return {**clips, "embedding": embeddings} | ({"times": times} if return_times else {})
        check_mono(clips)
        several = is_batch(clips)
        rate = self.feature_extractor.sampling_rate
        opened = [
            to_clip(clip, f"Clip {i}", sampling_rate or rate, rate)
            for i, clip in enumerate(clips if several else [clips])
        ]
        embeddings = self.embed(opened)
        results = self.stack(embeddings) if self.level == "clip" else embeddings
        if not return_times:
            return results if several else results[0]
        times = [self.times_of(clip.num_samples) for clip in opened]
        return (results, times) if several else (results[0], times[0])

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
        return join(parts, self.level)

    def stack(self, embeddings: list[np.ndarray]) -> np.ndarray:
        """One array of several clips', also of none."""
        config = self.encoder.config
        shape = (config.num_hidden_layers + 1, config.hidden_size) if self.layer == "all" else (config.hidden_size,)
        return np.stack(embeddings) if embeddings else np.zeros((0, *shape), dtype=np.float32)

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
        whole = [number for number, piece in enumerate(pieces) if piece.samples is not None]
        lengths = [pieces[number].window.stop - pieces[number].window.start for number in whole]
        trained = self.encoder.config.grid_shape[1]
        for batch in batches_of(lengths, self.batch_size, trained, self.most_steps):
            numbers = [whole[place] for place in batch]
            for number, result in zip(numbers, self.encode([pieces[number] for number in numbers]), strict=True):
                results[number] = result
        return results

    def is_long(self, num_samples: int) -> bool:
        """Whether a clip takes several windows."""
        return self.encoder.config.time_grid(self.feature_extractor.num_frames(num_samples)) > self.window_steps

    def times_of(self, num_samples: int) -> np.ndarray:
        """The centres of the steps of a clip in seconds, also at rates of which 10 ms are no whole samples."""
        extractor, config = self.feature_extractor, self.encoder.config
        shift = (extractor.num_samples(2) - extractor.num_samples(1)) / extractor.sampling_rate
        return config.frame_times(self.feature_extractor.num_frames(num_samples)) * (shift / config.frame_seconds[0])

    def windows_of(self, num_samples: int, name: str) -> list[tuple[Window, int, int]]:
        """The windows of a clip, each with the samples that it begins and ends at; ValueError if it is too short."""
        config, samples_of = self.encoder.config, self.feature_extractor.num_samples
        shortest = samples_of(config.patch_shape[1])
        if num_samples < shortest:
            raise ValueError(
                f"{name} has {num_samples} samples; one patch takes {shortest} at "
                f"{self.feature_extractor.sampling_rate} Hz. Drop or lengthen it."
            )
        windows = plan_windows(
            config.time_grid(self.feature_extractor.num_frames(num_samples)), self.window_steps, self.hop_steps
        )
        if len(windows) == 1:
            return [(windows[0], 0, num_samples)]
        shift = (samples_of(2) - samples_of(1)) * config.time_stride
        size = samples_of((self.window_steps - 1) * config.time_stride + config.patch_shape[1])
        return [(window, window.start * shift, window.start * shift + size) for window in windows]

    @torch.inference_mode()
    def encode(self, pieces: list[Piece]) -> list[np.ndarray]:
        """What is kept of each window, as from [`keep`]; without the axis of layers unless there are several."""
        inputs = self.feature_extractor(
            [piece.samples for piece in pieces],
            sampling_rate=self.feature_extractor.sampling_rate,
            padding="longest",
            truncation=False,
            return_attention_mask=True,
            return_tensors="pt",
            device=self.device,
        )
        windows = [piece.window for piece in pieces]
        # Without padding, attention is faster without a mask.
        is_padded = len({window.stop - window.start for window in windows}) > 1
        tokens = self.hidden_states(inputs["input_values"], inputs["attention_mask"] if is_padded else None)
        grid = self.encoder.grid_shape(inputs["input_values"])
        results = keep(tokens, grid, windows, self.level, self.pooling)
        return results if self.layer == "all" else [result[0] for result in results]

    def hidden_states(self, input_values: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """The wanted layers, (layers, B, L, D) float32, of (B, frames, mels)."""
        last = self.encoder.config.num_hidden_layers
        is_one = self.layer not in ("all", "weighted")
        outputs = self.encoder(
            input_values,
            attention_mask,
            output_hidden_states=([self.layer] if self.layer != last else False) if is_one else True,
            output_attentions=False,
            return_dict=True,
        )
        if self.layer == last:
            return outputs.last_hidden_state.float().unsqueeze(0)
        if is_one:
            return outputs.hidden_states[self.layer].float().unsqueeze(0)
        if self.layer == "all":
            return torch.stack([*outputs.hidden_states[:-1], outputs.last_hidden_state]).float()
        # As in the heads: of the layers as they are, before the final norm.
        return torch.einsum("l,lbtd->btd", self.layer_weights, torch.stack(outputs.hidden_states).float()).unsqueeze(0)


def one_of(name: str, value, allowed):
    """The value, if it is allowed; ValueError that names the option if not."""
    if isinstance(value, bool) or value not in allowed:
        choices = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(map(repr, allowed))
        raise ValueError(f"{name} must be one of {choices}; got {value!r}.")
    return value
