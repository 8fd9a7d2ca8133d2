"""
The Self-Supervised Audio Spectrogram Transformer (SSAST, Gong et al., AAAI 2022), https://arxiv.org/abs/2110.09784.

In the order in which data flows: embeddings, attention, layer, encoder, `SSASTModel`, pretraining. (Heads for labels
are in `heads_ssast.py`.) Parameter names are those of stock AST's checkpoints. Shapes are written with B clips, N
patches (frequency-major: `index = frequency * grid_time + time`), M of them masked, L = N + 2 tokens, D hidden size
and A patch area.
"""

import copy
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.functional import interpolate
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import logging
from transformers.utils.generic import can_return_tuple

from .configuration_ssast import CHOICES, SSASTConfig, same_share
from .losses_ssast import info_nce, masked_mean, masked_variance
from .masking_ssast import count_masked_patches, first_marked, sample_mask
from .outputs_ssast import SSASTForPretrainingOutput, SSASTModelOutput


try:
    from transformers.masking_utils import create_bidirectional_mask
except ImportError:  # transformers 4.57; to be removed when 5.0 is the oldest supported version
    create_bidirectional_mask = None


logger = logging.get_logger(__name__)

# The classification and the distillation token precede the patches.
NUM_PREFIX_TOKENS = 2


class SSASTPatchEmbeddings(nn.Module):
    """Linear projection of patches, (B, frames, mels) -> (B, N, D)."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        stride = (config.frequency_stride, config.time_stride)
        self.projection = nn.Conv2d(1, config.hidden_size, kernel_size=config.patch_shape, stride=stride)

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        spectrogram = input_values.transpose(1, 2).unsqueeze(1)  # (B, 1, mels, frames)
        return self.projection(spectrogram.to(self.projection.weight.dtype)).flatten(2).transpose(1, 2)


class SSASTEmbeddings(nn.Module):
    """Patches, of which masked ones are replaced by the mask token; two tokens in front; positions added to all."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.position_embeddings = nn.Parameter(
            torch.zeros(1, NUM_PREFIX_TOKENS + config.num_patches, config.hidden_size)
        )
        self.patch_embeddings = SSASTPatchEmbeddings(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_values: torch.Tensor,  # (B, frames, mels)
        bool_masked_pos: torch.Tensor | None = None,  # (B, N), True = masked
        valid: torch.Tensor | None = None,  # (B, N), False = padding
    ) -> torch.Tensor:  # (B, L, D)
        patches = self.patch_embeddings(input_values)
        if bool_masked_pos is not None:
            patches = torch.where(bool_masked_pos.unsqueeze(-1), self.mask_token.to(patches.dtype), patches)
        tokens = torch.cat((self.cls_token, self.distillation_token), dim=1).expand(patches.shape[0], -1, -1)
        embeddings = torch.cat((tokens.to(patches.dtype), patches), dim=1)
        return self.dropout(embeddings + self.positions(input_values.shape[1], valid))

    def positions(self, num_frames: int, valid: torch.Tensor | None = None) -> torch.Tensor:
        """
        Position embeddings (1, L, D) for an input of `num_frames`, or (B, L, D) if clips differ. Fewer frames than
        configured use the first columns, so that a short clip and the same clip padded (with an attention mask) agree;
        more frames interpolate, each clip by as many of its patches (B, N) as are `valid`.
        """
        time = self.config.time_grid(num_frames)
        prefix, grid = self._split_positions()
        if not isinstance(time, int):
            # An exported model of any length: the same without a branch, since fewer frames are stretched by 1.
            steps = torch.full((1,), time, device=grid.device) if valid is None else valid.sum(dim=1) / grid.shape[2]
            stretched = _stretch_time(grid, time, steps)
            return torch.cat((prefix.expand(stretched.shape[0], -1, -1), stretched), dim=1)
        if time == self.config.grid_shape[1]:
            return self.position_embeddings
        if valid is not None and time > self.config.grid_shape[1]:
            stretched = _stretch_time(grid, time, valid.sum(dim=1) / grid.shape[2])
            return torch.cat((prefix.expand(valid.shape[0], -1, -1), stretched), dim=1)
        return torch.cat((prefix, _fit_axis(grid, 3, time, start=0).flatten(2).transpose(1, 2)), dim=1)

    @torch.no_grad()
    def resize(self, config: SSASTConfig):
        """Adapt strides and position embeddings to the geometry of `config`; see `set_input_geometry`."""
        prefix, grid = self._split_positions()
        frequency, time = config.grid_shape
        for axis, size in ((3, time), (2, frequency)):
            grid = _fit_axis(grid, axis, size, start=grid.shape[axis] // 2 - size // 2)
        positions = torch.cat((prefix, grid.flatten(2).transpose(1, 2)), dim=1)
        self.position_embeddings = nn.Parameter(positions, requires_grad=self.position_embeddings.requires_grad)
        self.patch_embeddings.projection.stride = (config.frequency_stride, config.time_stride)

    def _split_positions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Position embeddings of the two tokens (1, 2, D), and of the patches as an image (1, D, frequency, time)."""
        prefix, patches = self.position_embeddings.tensor_split((NUM_PREFIX_TOKENS,), dim=1)
        return prefix, patches.transpose(1, 2).unflatten(2, self.config.grid_shape)


def _fit_axis(grid: torch.Tensor, axis: int, size: int, start: int) -> torch.Tensor:
    """Cut `size` entries of (1, D, frequency, time) from `start` along `axis`, or interpolate if there are fewer."""
    if size <= grid.shape[axis]:
        return grid.narrow(axis, start, size)
    shape = (size, grid.shape[3]) if axis == 2 else (grid.shape[2], size)
    return interpolate(grid.float(), shape, mode="bilinear").to(grid.dtype)


def _stretch_time(grid: torch.Tensor, size: int, num_steps: torch.Tensor) -> torch.Tensor:
    """
    (1, D, frequency, time) at `size` time steps for each of several clips, (B, N, D), as if a clip of more steps than
    there are, `num_steps` (B,), had been interpolated alone. Beyond its end it goes on in any way.
    """
    last = grid.shape[3] - 1
    stretch = (num_steps / grid.shape[3]).clamp(min=1.0).unsqueeze(1)
    places = ((torch.arange(size, device=grid.device) + 0.5) / stretch - 0.5).clamp(0, last)  # (B, time)
    left = places.long()
    columns = grid[0].permute(2, 1, 0).float()  # (time, frequency, D)
    weight = (places - left)[:, :, None, None]
    mixed = torch.lerp(columns[left], columns[(left + 1).clamp(max=last)], weight)  # (B, time, frequency, D)
    return mixed.transpose(1, 2).flatten(1, 2).to(grid.dtype)


class SSASTSelfAttention(nn.Module):
    """Multi-head attention through transformers' attention interface, without the output projection."""

    # Read by the sdpa and flash functions of the interface.
    is_causal = False

    def __init__(self, config: SSASTConfig, hidden_size: int):
        super().__init__()
        self.config = config
        self.head_size = hidden_size // config.num_attention_heads
        self.query = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)
        self.key = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)
        self.value = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)

    def forward(
        self,
        hidden_states: torch.Tensor,  # (B, L, D)
        attention_mask: torch.Tensor | None = None,  # (B, 1, 1, L) bool, True = attended to
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # (B, L, D) and (B, heads, L, L)
        query, key, value = (
            projection(hidden_states).unflatten(-1, (-1, self.head_size)).transpose(1, 2)  # (B, heads, L, D / heads)
            for projection in (self.query, self.key, self.value)
        )
        # Only the eager function returns the probabilities.
        implementation = "eager" if output_attentions else self.config._attn_implementation
        attend = eager_attention if implementation == "eager" else ALL_ATTENTION_FUNCTIONS[implementation]
        context, probabilities = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.attention_probs_dropout_prob if self.training else 0.0,
            scaling=self.head_size**-0.5,
        )
        return context.flatten(2), probabilities


def eager_attention(module, query, key, value, attention_mask, dropout=0.0, scaling=1.0, **kwargs):
    """Attention written out; query, key, value are (B, heads, L, D / heads), the result (B, L, heads, D / heads)."""
    scores = (query * scaling) @ key.transpose(2, 3)  # on the smaller factor
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    probabilities = scores.softmax(dim=-1).to(value.dtype)
    context = nn.functional.dropout(probabilities, dropout, module.training) @ value
    return context.transpose(1, 2), probabilities


class SSASTDense(nn.Module):
    """A linear layer named `dense`, where stock AST's checkpoints have one."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.dense = nn.Linear(in_features, out_features)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.dense(hidden_states)


class SSASTAttention(nn.Module):
    """Self-attention and its output projection."""

    def __init__(self, config: SSASTConfig, hidden_size: int):
        super().__init__()
        self.attention = SSASTSelfAttention(config, hidden_size)
        self.output = SSASTDense(hidden_size, hidden_size)

    def forward(self, hidden_states, attention_mask=None, output_attentions=False):
        context, probabilities = self.attention(hidden_states, attention_mask, output_attentions)
        return self.output(context), probabilities


class SSASTLayer(GradientCheckpointingLayer):
    """Transformer layer with the layer norms in front (pre-norm)."""

    def __init__(self, config: SSASTConfig, hidden_size: int):
        super().__init__()
        intermediate_size = max(config.intermediate_size * hidden_size // config.hidden_size, 1)
        self.layernorm_before = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.attention = SSASTAttention(config, hidden_size)
        self.layernorm_after = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.intermediate = SSASTDense(hidden_size, intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.output = SSASTDense(intermediate_size, hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        hidden_states: torch.Tensor,  # (B, L, D)
        attention_mask: torch.Tensor | None = None,  # (B, 1, 1, L) bool, True = attended to
        output_attentions: bool = False,
        index: torch.Tensor | None = None,  # (B, K) int64, the tokens that are wanted; all if not given
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # (B, L, D) or (B, K, D), and (B, heads, L, L)
        context, probabilities = self.attention(
            self.layernorm_before(hidden_states), attention_mask, output_attentions
        )
        hidden_states = take(hidden_states + self.dropout(context), index)
        expanded = self.activation(self.intermediate(self.layernorm_after(hidden_states)))
        return hidden_states + self.dropout(self.output(expanded)), probabilities


class SSASTEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: SSASTConfig, num_hidden_layers: int, hidden_size: int):
        super().__init__()
        self.layer = nn.ModuleList(SSASTLayer(config, hidden_size) for _ in range(num_hidden_layers))

    def forward(
        self, hidden_states, attention_mask=None, output_attentions=False, output_hidden_states=False, index=None
    ):
        """Tokens (B, L, D) -> the last hidden states of all tokens, or of those in `index` (B, K); and all states."""
        count = len(self.layer)
        kept = selected_indices(output_hidden_states, count + 1)
        all_hidden_states: tuple[torch.Tensor | None, ...] = (hidden_states if 0 in kept else None,)
        all_attentions: tuple[torch.Tensor, ...] = ()
        for i, layer in enumerate(self.layer, start=1):
            # The feed-forward part of the last layer is spared for tokens that nobody wants.
            wanted = index if i == count and count not in kept else None
            hidden_states, probabilities = layer(hidden_states, attention_mask, output_attentions, wanted)
            all_hidden_states += (hidden_states if i in kept else None,)
            if output_attentions:
                all_attentions += (probabilities,)
        if count in kept:
            hidden_states = take(hidden_states, index)
        return hidden_states, all_hidden_states if kept else None, all_attentions if output_attentions else None


def take(values: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
    """Entries (B, K, X) of (B, N, X) by their index (B, K); all if there is none."""
    return values if index is None else values.gather(1, index.unsqueeze(2).expand(-1, -1, values.shape[2]))


def selected_indices(selection: bool | int | list[int] | None, count: int) -> set[int]:
    """Which of `count` things are wanted: all (`True`), none, one index, or a list of them; negative from the end."""
    if not selection or selection is True:
        return set(range(count)) if selection else set()
    indices = [selection] if isinstance(selection, int) else selection
    return {index % count for index in indices if -count <= index < count}


class SSASTPreTrainedModel(PreTrainedModel):
    """Weight initialisation, input geometry, and what transformers needs to know about all SSAST models."""

    config_class = SSASTConfig
    base_model_prefix = "audio_spectrogram_transformer"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["SSASTEmbeddings", "SSASTLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    # The losses are means over masked patches: Trainer must not rescale them by a number of labels.
    accepts_loss_kwargs = False

    def __init__(self, config: SSASTConfig):
        # Again, because `from_pretrained(..., name=value)` sets fields behind the configuration's back.
        config.check_ranges()
        super().__init__(config)
        # `save_pretrained` copies the code of this module. FSDP replaces the class by one in a module of PyTorch's.
        self.__module__ = type(self).__module__

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """As in transformers; parameters that no loss reaches stay frozen."""
        loaded = super().from_pretrained(*args, **kwargs)
        # transformers 5 replaces parameters by trainable ones. With output_loading_info=True there are two results.
        (loaded[0] if isinstance(loaded, tuple) else loaded).freeze_unused()
        return loaded

    def freeze_unused(self):
        """Freeze parameters that get no gradient: DDP would wait for them. Call after changing `config.objective`."""

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        # transformers would otherwise search this file for the one spelling that its own version uses.
        return True

    @torch.no_grad()
    def _init_weights(self, module):
        # transformers 5 guards loaded parameters inside torch.nn.init.*; other ways to write would overwrite them.
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.trunc_normal_(module.weight, std=self.config.initializer_range)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, SSASTEmbeddings):
            for parameter in (module.cls_token, module.distillation_token, module.position_embeddings):
                nn.init.trunc_normal_(parameter, std=self.config.initializer_range)
            # The original's initialisation: a standard deviation of 1 / sqrt(hidden_size).
            nn.init.xavier_normal_(module.mask_token)

    def set_input_geometry(
        self,
        max_length: int | None = None,
        frequency_stride: int | None = None,
        time_stride: int | None = None,
    ):
        """
        Adapt the model to another input length or to overlapping patches, for good (for example before fine-tuning).

        Position embeddings are cut around the centre along an axis that shrinks and interpolated bilinearly along one
        that grows; `config` is updated, its `num_masked_patches` in proportion. Feature extraction has to follow:
        `SSASTFeatureExtractor.from_pretrained(..., max_length=max_length)`, and an optimizer has to be made anew.

        Args:
            max_length (`int`, *optional*): New input length in frames; unchanged if not given.
            frequency_stride, time_stride (`int`, *optional*): New steps between patches, in mel bins and frames.

        Raises:
            ValueError: If the geometry is impossible; the model is then unchanged.
        """
        config = copy.deepcopy(self.config)
        changes = {"max_length": max_length, "frequency_stride": frequency_stride, "time_stride": time_stride}
        for name, value in changes.items():
            if value is not None:
                setattr(config, name, value)
        config.check_shapes()
        config.num_masked_patches = same_share(
            self.config.num_masked_patches, self.config.num_patches, config.num_patches
        )
        self.base_model.embeddings.resize(config)
        for name in (*changes, "num_masked_patches"):
            setattr(self.config, name, getattr(config, name))


class SSASTModel(SSASTPreTrainedModel):
    """The encoder without a head: spectrogram in, one vector per token, time step and clip out."""

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        self.embeddings = SSASTEmbeddings(config)
        self.encoder = SSASTEncoder(config, config.num_hidden_layers, config.hidden_size)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> SSASTPatchEmbeddings:
        return self.embeddings.patch_embeddings

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,  # (B, frames, mels)
        attention_mask: torch.Tensor | None = None,  # (B, frames), nonzero = audio
        bool_masked_pos: torch.Tensor | None = None,  # (B, N), True = masked
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> SSASTModelOutput:
        """
        Args:
            input_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_mel_bins)`): Normalised log-mel
                filter banks. Any number of frames from one patch up.
            attention_mask (`torch.Tensor` of shape `(batch_size, num_frames)`, *optional*): Nonzero for audio, 0 for
                padding. A patch counts as audio if all its frames do; the others are neither attended to nor pooled.
                Without a mask, padding is input, as in the original. A clip without any patch of audio, one that is
                shorter than a patch, pools to zeros, or with `pooling_mode="cls"` to one vector that is the same for
                all such clips. There is a warning then, except on other devices than the CPU, where the host would
                have to wait, and in compiled models.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, num_patches)`, *optional*): Patches to replace
                by the mask token; True = masked, or integers, nonzero = masked.
            output_attentions (`bool`, *optional*): Whether to return attention probabilities, computed eagerly then.
            output_hidden_states (`bool`, `int` or `list[int]`, *optional*): Whether to return the hidden states of all
                layers; or of which, 0 being the embeddings. The others are `None` then.
            return_dict (`bool`, *optional*): `False` for a plain tuple.

        Raises:
            ValueError: If a shape does not fit, or an attention mask meets an implementation of attention that takes
                none: in transformers 4.57 all but `"eager"`, `"sdpa"` and flash attention.
        """
        grid_shape = self.grid_shape(input_values)
        valid = self.valid_patches(input_values, attention_mask)
        input_values = silence_padding(input_values, attention_mask)
        if bool_masked_pos is not None:
            bool_masked_pos = self.check_mask(bool_masked_pos, valid)
        last_hidden_state, all_hidden_states, attentions = self.encode(
            self.embeddings(input_values, bool_masked_pos, None if attention_mask is None else valid),
            None if attention_mask is None else with_prefix(valid),
            output_attentions,
            output_hidden_states,
        )
        patches = last_hidden_state[:, NUM_PREFIX_TOKENS:]
        self._warn_of_empty_clips(valid)
        return SSASTModelOutput(
            last_hidden_state=last_hidden_state,
            pooler_output=self._pool(last_hidden_state, valid),
            frame_hidden_states=patches.unflatten(1, grid_shape).mean(dim=1),
            hidden_states=all_hidden_states,
            attentions=attentions,
        )

    def encode(self, embeddings, attended=None, output_attentions=None, output_hidden_states=None, index=None):
        """
        Layers and final norm on any tokens: (B, L, D), and (B, L) bool, True = attended to -> (B, L, D), or (B, K, D)
        of those in `index` (B, K), and on request the hidden states and the attention probabilities of all layers, as
        in [`SSASTModelOutput`].
        """
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        mask = self.mask_for_attention(embeddings, attended, output_attentions)
        hidden_states, all_hidden_states, attentions = self.encoder(
            embeddings, mask, output_attentions, output_hidden_states, index
        )
        return self.layernorm(hidden_states), all_hidden_states, attentions

    def grid_shape(self, input_values: torch.Tensor) -> tuple[int, int]:
        """Patches along (frequency, time) of `(batch_size, num_frames, num_mel_bins)`; ValueError if there is none."""
        check_tensor("input_values", input_values)
        if input_values.ndim != 3 or input_values.shape[2] != self.config.num_mel_bins:
            raise ValueError(
                f"input_values must have the shape (batch_size, num_frames, {self.config.num_mel_bins}), "
                f"got {tuple(input_values.shape)}."
            )
        if input_values.shape[1] < self.config.patch_shape[1]:
            raise ValueError(
                f"input_values has {input_values.shape[1]} frames, fewer than the {self.config.patch_shape[1]} of one "
                "patch; pad the clip to at least that."
            )
        return self.config.grid_shape[0], self.config.time_grid(input_values.shape[1])

    def valid_patches(self, input_values: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """Patches that hold no padding, `(batch_size, num_patches)` bool: all frames of their window are audio."""
        frequency, time = self.grid_shape(input_values)
        batch_size, num_frames, _ = input_values.shape
        if attention_mask is None:
            return torch.ones(batch_size, frequency * time, dtype=torch.bool, device=input_values.device)
        check_tensor("attention_mask", attention_mask)
        if attention_mask.shape != (batch_size, num_frames):
            raise ValueError(
                f"attention_mask must have the shape (batch_size, num_frames) = {(batch_size, num_frames)}, "
                f"got {tuple(attention_mask.shape)}."
            )
        check_attention_mask(attention_mask)
        windows = attention_mask.bool().unfold(1, self.config.patch_shape[1], self.config.time_stride)
        return windows.all(dim=-1).repeat(1, frequency)

    def check_mask(self, bool_masked_pos: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """The mask as booleans, if it has the shape of `valid`, (B, N), and is of no fractions; ValueError if not."""
        if bool_masked_pos.is_floating_point() or bool_masked_pos.is_complex():  # NaN would count as masked
            raise ValueError(f"bool_masked_pos must be of torch.bool, True = masked; got {bool_masked_pos.dtype}.")
        if bool_masked_pos.shape != valid.shape:
            raise ValueError(
                f"bool_masked_pos must have the shape (batch_size, num_patches) = {tuple(valid.shape)}, "
                f"got {tuple(bool_masked_pos.shape)}."
            )
        return bool_masked_pos.bool()

    def mask_for_attention(self, embeddings, attended: torch.Tensor | None, output_attentions: bool = False):
        """
        What the attention function takes for tokens (B, L, D) of which those marked in (B, L) are attended to: for
        `"eager"` and `"sdpa"` (B, 1, 1, L) bool; for flash attention (B, L), by which transformers takes padding out
        and passes the lengths of the clips on; for the others what transformers makes; `None` for all tokens.
        """
        if attended is None:
            return None
        implementation = "eager" if output_attentions else self.config._attn_implementation
        if implementation in ("eager", "sdpa"):
            return attended[:, None, None, :]
        if implementation.startswith("flash_attention"):
            return attended
        if create_bidirectional_mask is None:
            raise ValueError(
                f"attention_mask is not supported with attn_implementation={implementation!r} in this version of "
                'transformers. Use "sdpa" or "eager", transformers 5, or clips of equal length without a mask.'
            )
        return create_bidirectional_mask(self.config, embeddings, attended)

    def _warn_of_empty_clips(self, valid: torch.Tensor):
        """A warning that names the clips of which no patch is left, by (B, N); see [`is_at_hand`]."""
        if is_at_hand(valid) and not (left := valid.any(dim=1)).all():
            clips = (~left).nonzero().flatten().tolist()
            logger.warning(
                f"Under attention_mask nothing is left of clip {', '.join(map(str, clips[:10]))}"
                f"{', ...' if clips[10:] else ''} of the batch: one patch takes {self.config.patch_shape[1]} frames "
                "of audio. The pooled output says nothing about such a clip. Drop or lengthen it."
            )

    def _pool(self, last_hidden_state: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """One vector per clip, (B, L, D) -> (B, D)."""
        if self.config.pooling_mode == "cls":
            return last_hidden_state[:, :NUM_PREFIX_TOKENS].mean(dim=1)
        weight = valid / valid.sum(dim=1, keepdim=True).clamp(min=1)  # (B, N) in float32, which counts exactly
        patches = last_hidden_state[:, NUM_PREFIX_TOKENS:]
        return (patches * weight.unsqueeze(-1)).sum(dim=1).to(patches.dtype)


def check_tensor(name: str, value):
    """ValueError if an argument of the model is what a feature extractor returns without `return_tensors="pt"`."""
    if not isinstance(value, torch.Tensor):
        raise ValueError(
            f'{name} must be a tensor, got {type(value).__name__}: pass return_tensors="pt" to the feature extractor, '
            "and model(**inputs)."
        )


def check_attention_mask(attention_mask: torch.Tensor):
    """ValueError for NaN, which would count as audio, where it [`is_at_hand`]."""
    if is_at_hand(attention_mask) and attention_mask.is_floating_point() and attention_mask.isnan().any():
        raise ValueError("attention_mask holds NaN; it must be nonzero for audio, 0 for padding.")


def is_at_hand(tensor: torch.Tensor) -> bool:
    """Whether to look at values is free. Other devices would have to be waited for; a compiled model has none yet."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def with_prefix(patches: torch.Tensor) -> torch.Tensor:
    """(B, N) bool of patches -> (B, L) bool of tokens: the two in front always count."""
    return nn.functional.pad(patches, (NUM_PREFIX_TOKENS, 0), value=True)


def silence_padding(input_values: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """Zero padded frames of (B, frames, mels): whatever they hold, NaN included, must not reach any sum."""
    is_padding = None if attention_mask is None else ~attention_mask.bool().unsqueeze(-1)
    return input_values if is_padding is None else input_values.masked_fill(is_padding, 0.0)


class SSASTPredictionHead(nn.Module):
    """Maps the encoder's output for a patch into the space of the patch's pixels, (..., D) -> (..., A)."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.patch_shape[0] * config.patch_shape[1])

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.out_proj(self.dense(hidden_states).relu())


class SSASTDecoder(SSASTEncoder):
    """A few narrow layers that see all tokens, encoded or masked, when the encoder sees only what is not masked."""

    def __init__(self, config: SSASTConfig):
        width, encoder_width = config.decoder_width, config.hidden_size
        super().__init__(config, config.decoder_num_hidden_layers, width)
        is_narrow = width != encoder_width
        self.embed = nn.Linear(encoder_width, width) if is_narrow else nn.Identity()
        self.layernorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        # Back to the encoder's width, so that the heads are the same with and without a decoder.
        self.project = nn.Linear(width, encoder_width) if is_narrow else nn.Identity()

    def forward(self, hidden_states, attention_mask=None, index=None):  # type: ignore[override]
        """Tokens (B, L, D) -> those in `index` (B, K), decoded, (B, K, D)."""
        # Under autocast the sum that all layers add to stays in float32, as in the encoder.
        embedded = self.embed(hidden_states).to(hidden_states.dtype)
        decoded, _, _ = super().forward(embedded, attention_mask, index=index)
        return self.project(self.layernorm(decoded))


class SSASTForPretraining(SSASTPreTrainedModel):
    """SSAST with its two self-supervised heads: which patch was masked here, and what did it look like?"""

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        self.audio_spectrogram_transformer = SSASTModel(config)
        if config.decoder_num_hidden_layers:
            self.decoder = SSASTDecoder(config)
        self.discrimination_head = SSASTPredictionHead(config)
        self.reconstruction_head = SSASTPredictionHead(config)
        self.freeze_unused()
        self.post_init()

    def freeze_unused(self):
        # The head of an inactive objective: its weights are kept.
        self.discrimination_head.requires_grad_(self.config.objective != "generative")
        self.reconstruction_head.requires_grad_(self.config.objective != "discriminative")

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,  # (B, frames, mels)
        attention_mask: torch.Tensor | None = None,  # (B, frames), nonzero = audio
        bool_masked_pos: torch.Tensor | None = None,  # (B, N), True = masked
        generator: torch.Generator | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_loss: bool = True,
    ) -> SSASTForPretrainingOutput:
        """
        One pass for both losses. (The released code makes two, with a mask each; call twice to reproduce it.)

        Args:
            input_values, attention_mask, output_attentions, output_hidden_states, return_dict: As in
                [`SSASTModel.forward`]. Padded patches are never masked and never targets.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch_size, num_patches)`, *optional*): The mask, True =
                masked; counts may differ between clips. Drawn by `config.mask_strategy` if not given.
            generator (`torch.Generator`, *optional*): Source of randomness for the mask, of any device; PyTorch's
                global one if not given. `torch.compile` cannot trace one: draw the mask with [`draw_mask`] then.
            return_loss (`bool`, defaults to `True`): Without effect; lets `Trainer.evaluate` report the loss.

        With a decoder, a mask that is given is counted by the host, which waits for the device. While compiling or
        exporting it is not: the encoder then computes all tokens and hides the masked ones, with the same result.
        """
        valid = self.base_model.valid_patches(input_values, attention_mask)
        is_drawn = bool_masked_pos is None
        if is_drawn:
            bool_masked_pos = self.draw_mask(input_values, attention_mask, generator)
        else:
            bool_masked_pos = self.base_model.check_mask(bool_masked_pos, valid) & valid
        input_values = silence_padding(input_values, attention_mask)
        has_padding = attention_mask is not None
        embeddings = self.base_model.embeddings(input_values, bool_masked_pos, valid if has_padding else None)

        # From here on, nothing but masked patches is wanted.
        index = first_marked(bool_masked_pos, self.most_masked(bool_masked_pos, is_drawn))  # (B, M)
        is_masked = bool_masked_pos.gather(1, index)
        attended = with_prefix(valid) if has_padding else None  # (B, L)
        flags, wanted = (output_attentions, output_hidden_states), index + NUM_PREFIX_TOKENS
        if self.config.decoder_num_hidden_layers:
            visible = with_prefix(valid & ~bool_masked_pos)
            encoded = self.encode_visible(embeddings, visible, attended, wanted, is_drawn, *flags)
        else:
            encoded = self.base_model.encode(embeddings, attended, *flags, wanted)
        patches, hidden_states, attentions = encoded  # (B, M, D)

        targets = take(self.patchify(input_values), index)  # (B, M, A)
        nce, accuracy, duplicate_fraction, guesses = self.discriminate(patches, targets, is_masked)
        squared_error, pixels = self.reconstruct(patches, targets, is_masked)
        trained = pixels if self.config.objective == "generative" else guesses
        nothing = pixels.new_zeros(*bool_masked_pos.shape, pixels.shape[2])
        reconstruction = nothing.scatter(1, index.unsqueeze(2).expand_as(pixels), pixels * is_masked.unsqueeze(2))
        return SSASTForPretrainingOutput(
            loss=self.combine(nce, squared_error),
            discriminative_loss=nce,
            generative_loss=squared_error,
            accuracy=accuracy,
            duplicate_fraction=duplicate_fraction,
            prediction_variance=masked_variance(trained, is_masked),
            reconstruction=reconstruction,
            bool_masked_pos=bool_masked_pos,
            hidden_states=hidden_states,
            attentions=attentions,
        )

    def most_masked(self, bool_masked_pos: torch.Tensor, is_drawn: bool) -> int:
        """At most so many patches of (B, N) are masked in a clip, at least 1, without waiting for the device."""
        num_patches = bool_masked_pos.shape[1]
        if is_drawn:  # of clips with padding fewer
            return max(same_share(self.config.num_masked_patches, self.config.num_patches, num_patches), 1)
        return max(int(bool_masked_pos.sum(dim=1).max()), 1) if is_at_hand(bool_masked_pos) else num_patches

    def encode_visible(self, embeddings, visible, attended, wanted, is_drawn, *flags):
        """
        Encode those tokens of (B, L, D) that are marked in (B, L), then decode all -> as from [`SSASTModel.encode`].

        Args:
            embeddings (`torch.Tensor` of shape `(batch_size, num_patches + 2, hidden_size)`): All tokens.
            visible (`torch.BoolTensor` of shape `(batch_size, num_patches + 2)`): Neither masked nor padding.
            attended (`torch.BoolTensor` of shape `(batch_size, num_patches + 2)`, *optional*): Tokens without padding.
            wanted (`torch.LongTensor` of shape `(batch_size, num_wanted)`): Indices of the tokens to return.
            is_drawn (`bool`): Whether [`draw_mask`] chose what is visible, so that the configuration tells how many.
            flags: `output_attentions`, `output_hidden_states`.
        """
        fewest, most = self.count_visible(visible, is_drawn, has_padding=attended is not None)
        # Visible tokens first; a clip that has fewer of them than others fills its row with hidden ones.
        index = first_marked(visible, most)  # (B, K)
        encoded, hidden_states, attentions = self.base_model.encode(
            take(embeddings, index), visible.gather(1, index) if fewest < most else None, *flags
        )
        # Hidden tokens stay as embedded: the mask token and their positions.
        chosen = index.unsqueeze(2).expand_as(encoded)
        tokens = embeddings.scatter(1, chosen, encoded.to(embeddings.dtype))
        tokens = torch.where(visible.unsqueeze(2), tokens, embeddings)
        mask = self.base_model.mask_for_attention(tokens, attended)
        return self.decoder(tokens, mask, wanted), hidden_states, attentions

    def count_visible(self, visible, is_drawn: bool, has_padding: bool) -> tuple[int, int]:
        """At least and at most so many tokens of (B, L) are visible in the clips of a batch, as the host knows it."""
        num_tokens = visible.shape[1]
        if is_drawn:
            # Clips with padding mask the same share of fewer patches, so they show no more than those without.
            num_patches = num_tokens - NUM_PREFIX_TOKENS
            most = num_tokens - same_share(self.config.num_masked_patches, self.config.num_patches, num_patches)
            return NUM_PREFIX_TOKENS if has_padding else most, most
        if torch.compiler.is_compiling():
            return NUM_PREFIX_TOKENS, num_tokens
        fewest, most = visible.sum(dim=1).aminmax()
        return int(fewest), int(most)

    def draw_mask(self, input_values, attention_mask=None, generator=None) -> torch.Tensor:
        """Draw the patches to mask, (B, N) bool, True = masked; arguments as in [`forward`], which does just this."""
        valid = self.base_model.valid_patches(input_values, attention_mask)
        count = self.count_masked(valid)
        grid_shape = self.base_model.grid_shape(input_values)
        return sample_mask(self.config.mask_strategy, grid_shape, count, valid, generator)

    def count_masked(self, valid: torch.Tensor) -> torch.Tensor:
        """How many patches [`draw_mask`] masks in each clip, (B,) int64, of those that hold no padding, (B, N)."""
        return count_masked_patches(self.config.num_masked_patches, self.config.num_patches, valid.sum(dim=1))

    def patchify(self, input_values: torch.Tensor) -> torch.Tensor:
        """Spectrogram (B, frames, mels) -> patches (B, N, A) in float32, each flattened row by row."""
        patch_frequency, patch_time = self.config.patch_shape
        windows = input_values.float().transpose(1, 2).unfold(1, patch_frequency, self.config.frequency_stride)
        windows = windows.unfold(2, patch_time, self.config.time_stride)  # (B, frequency, time, *patch_shape)
        return windows.flatten(3).flatten(1, 2)

    def discriminate(self, patches, targets, is_masked) -> tuple[torch.Tensor, ...]:
        """
        Which patch is it? Encoded patches (B, M, D), targets (B, M, A) and mask (B, M) -> loss, accuracy and share of
        duplicates as in [`info_nce`], and the predictions (B, M, A).
        """
        with self._gradient_for("discriminative"):
            predictions = self.discrimination_head(patches).float()
            numbers = info_nce(
                predictions,
                targets,
                is_masked,
                self.config.contrastive_axis,
                self.config.exclude_duplicate_negatives,
            )
        return *numbers, predictions

    def reconstruct(self, patches, targets, is_masked) -> tuple[torch.Tensor, torch.Tensor]:
        """What does it look like? Mean squared error, and the predicted patches (B, M, A); arguments as above."""
        with self._gradient_for("generative"):
            predictions = self.reconstruction_head(patches)
            error = (predictions.float() - targets).square().mean(dim=2)  # (B, M)
            loss = masked_mean(error, is_masked)
        return loss, predictions

    def combine(self, discriminative_loss: torch.Tensor, generative_loss: torch.Tensor) -> torch.Tensor:
        """What `config.objective` trains."""
        if self.config.objective == "joint":
            return discriminative_loss + self.config.generative_loss_weight * generative_loss
        if self.config.objective == "discriminative":
            return discriminative_loss
        if self.config.objective == "generative":
            return generative_loss
        choices = ", ".join(CHOICES["objective"])  # set after the configuration was checked
        raise ValueError(f"config.objective must be one of {choices}; got {self.config.objective!r}.")

    def _gradient_for(self, objective: str):
        """Context in which a loss is computed: without a graph if it is not trained."""
        return nullcontext() if self.config.objective in ("joint", objective) else torch.no_grad()


# The spelling of transformers' other pretraining classes.
SSASTForPreTraining = SSASTForPretraining

SSASTModel.register_for_auto_class("AutoModel")
SSASTForPretraining.register_for_auto_class("AutoModelForPreTraining")
