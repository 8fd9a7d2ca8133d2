"""Embeddings of recordings of any length: one vector per clip, per time step, or per patch."""

import numpy as np
import torch

from ..configuration_ssast import SSASTConfig
from .clips import as_list, check_mono, is_batch, is_table, rows_of, to_clip
from .encoders import as_device, default_device, load_encoder, load_layer_weights, sha256_of_settings
from .options import one_of
from .pooling import join, keep
from .windowed import Piece, WindowedModel


LEVELS, POOLING = ("clip", "frame", "patch"), ("mean", "cls", "bands", "statistics")
DTYPES = ("float32", "bfloat16", "float16")


class Embedder(WindowedModel):
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
        pooling (`str`, *optional*): Of the level `"clip"`: `"mean"` over all patches; `"cls"`, the mean of the two
            tokens in front, itself a mean over windows; `"bands"`, the mean over time of each frequency of patches,
            side by side from low to high; or `"statistics"`, mean and standard deviation over the time steps side by
            side. If not given, `"cls"` if it is the model's `pooling_mode`, else `"mean"`.
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
        self.choose_batches(batch_size, self.device)
        self.window_steps, self.hop_steps = self.steps_of(window, hop)

    @property
    def config(self) -> SSASTConfig:
        return self.encoder.config

    @property
    def width(self) -> int:
        """
        How many numbers a vector has: the model's hidden size. Of a clip twice that for `"statistics"`, and for
        `"bands"` as many times as there are patches above each other.
        """
        copies = {"statistics": 2, "bands": self.config.grid_shape[0]} if self.level == "clip" else {}
        return self.config.hidden_size * copies.get(self.pooling, 1)

    @property
    def configuration_sha256(self) -> str:
        """Of the fields of the model's configuration and of its feature extractor that embeddings depend on."""
        return sha256_of_settings(
            {"config": self.encoder.config.to_dict(), "extractor": self.feature_extractor.to_dict()}
        )

    def __call__(self, clips, sampling_rate: int | None = None, return_times: bool = False):
        """
        Args:
            clips: One clip or a list of them. A clip is a path; an array, tensor or list of numbers `(num_samples,)`,
                mono, floating point; or a dictionary with `array` and `sampling_rate`, with `bytes` or with `path`, as
                in `datasets`. A dictionary of columns, one of them `audio`, `path` or as in a manifest, is a table.
            sampling_rate (`int`, *optional*): Of clips that are numbers without one, in Hz; the model's if not given.
            return_times (`bool`, defaults to `False`): Also return the centres of the steps.

        Returns:
            float32 arrays. For one clip `(width,)`; at the level `"frame"` `(num_steps, hidden_size)`; at
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
            # Not `self(...)`: Ray makes a queue of that, and this call would wait for one behind it.
            results = self.embed_clips(rows_of(clips), sampling_rate, return_times)
            embeddings, times = results if return_times else (results, None)
            return {**clips, "embedding": embeddings} | ({"times": times} if return_times else {})
        return self.embed_clips(clips, sampling_rate, return_times)

    def embed_clips(self, clips, sampling_rate: int | None, return_times: bool):
        """As above, of anything but a table."""
        clips = as_list(clips)
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
        return join(parts, self.level, self.pooling)

    def stack(self, embeddings: list[np.ndarray]) -> np.ndarray:
        """One array of several clips', also of none."""
        shape = (self.config.num_hidden_layers + 1, self.width) if self.layer == "all" else (self.width,)
        return np.stack(embeddings) if embeddings else np.zeros((0, *shape), dtype=np.float32)

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
