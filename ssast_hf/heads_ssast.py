"""
Heads for labelled audio on SSAST's encoder: classes of a clip, speakers, text, and events in time.

All read the encoder in one step, [`SSASTHeadModel.read_encoder`]. Shapes are written as in `modeling_ssast.py`, with T
time steps, `config.time_grid(num_frames)`, and E the width of what is read: `classifier_proj_size`, or else D.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, ctc_loss, linear, normalize
from transformers.modeling_outputs import (
    CausalLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
    XVectorOutput,
)
from transformers.utils import logging
from transformers.utils.generic import can_return_tuple

from .configuration_ssast import SSASTConfig

# Some of these are not used here. transformers 4.57 and 5.0 copy the files that a modelling file imports, but not what
# these import in turn. To be removed when neither is supported any more.
from .losses_ssast import am_softmax, masked_mean
from .masking_ssast import sample_mask  # noqa: F401
from .modeling_ssast import NUM_PREFIX_TOKENS, SSASTModel, SSASTPreTrainedModel, is_at_hand, selected_indices
from .outputs_ssast import SSASTModelOutput  # noqa: F401


logger = logging.get_logger(__name__)

# Characters come faster than longer tokens.
LONGEST_CTC_TOKEN = 0.04  # seconds


class Reading(NamedTuple):
    """What a head sees of a batch."""

    frames: torch.Tensor  # (B, T, E)
    is_audio: torch.Tensor  # (B, T), False where there is padding
    prefix: torch.Tensor  # (B, 2, E), the classification and the distillation token
    hidden_states: tuple[torch.Tensor | None, ...] | None  # as in SSASTModelOutput, if asked for
    attentions: tuple[torch.Tensor, ...] | None


class SSASTHeadModel(SSASTPreTrainedModel):
    """What the models with heads share: the encoder and how it is read."""

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.audio_spectrogram_transformer = SSASTModel(config)
        if config.use_weighted_layer_sum:
            self.layer_weights = nn.Parameter(torch.zeros(config.num_hidden_layers + 1))
        if config.classifier_proj_size is not None:
            self.projector = nn.Linear(config.hidden_size, config.classifier_proj_size)

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, SSASTHeadModel) and self.config.use_weighted_layer_sum:
            # transformers 4.57 asks for all of a module that lacks anything, such as a head for these labels.
            if not getattr(module.layer_weights, "_is_hf_initialized", False):
                nn.init.constant_(module.layer_weights, 1 / len(module.layer_weights))
        elif isinstance(module, SSASTPooling) and hasattr(module, "query"):
            nn.init.trunc_normal_(module.query, std=self.config.initializer_range)
        elif isinstance(module, SSASTCosines):
            nn.init.trunc_normal_(module.weight, std=self.config.initializer_range)
            nn.init.zeros_(module.steps)

    def freeze_unused(self):
        # Nothing is masked here; the token is kept for the way back to pretraining.
        self.base_model.embeddings.mask_token.requires_grad_(False)
        if self.config.use_weighted_layer_sum:  # of the layers, before the final norm
            self.base_model.layernorm.requires_grad_(False)

    def freeze_base_model(self):
        """Train the head alone, projection and weights of layers included."""
        self.base_model.requires_grad_(False)

    def freeze_feature_encoder(self):
        """Freeze the projection of patches, which is what SSAST has in place of a convolutional feature encoder."""
        self.base_model.embeddings.patch_embeddings.requires_grad_(False)

    def read_encoder(self, input_values, attention_mask, output_attentions, output_hidden_states) -> Reading:
        """
        The last layer, after its norm; or with `config.use_weighted_layer_sum` the sum of the embeddings and all
        layers, each times its softmax of `layer_weights`. Then the mean over frequency, and the projection.
        """
        is_weighted = self.config.use_weighted_layer_sum
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        outputs = self.base_model(
            input_values,
            attention_mask,
            output_attentions=output_attentions,
            output_hidden_states=True if is_weighted else wanted,
            return_dict=True,
        )
        tokens, hidden_states = outputs.last_hidden_state, outputs.hidden_states
        if is_weighted:
            weights = self.layer_weights.softmax(dim=0).to(tokens.dtype)
            tokens = sum(weight * states for weight, states in zip(weights.unbind(), hidden_states, strict=True))
            kept = selected_indices(wanted, len(hidden_states))
            hidden_states = tuple(state if i in kept else None for i, state in enumerate(hidden_states))
            hidden_states = hidden_states if kept else None
        grid_shape = self.base_model.grid_shape(input_values)
        prefix, patches = tokens[:, :NUM_PREFIX_TOKENS], tokens[:, NUM_PREFIX_TOKENS:]
        frames = patches.unflatten(1, grid_shape).mean(dim=1)
        if self.config.classifier_proj_size is not None:
            frames, prefix = self.projector(frames), self.projector(prefix)
        valid = self.base_model.valid_patches(input_values, attention_mask)
        # A patch holds padding or not whatever its frequency.
        is_audio = valid.unflatten(1, grid_shape)[:, 0]
        return Reading(frames, is_audio, prefix, hidden_states, outputs.attentions)

    def _get_feat_extract_output_lengths(self, input_lengths):
        """Time steps of inputs of so many frames, of which there may be a tensor; 0 if shorter than a patch."""
        lengths = self.config.time_grid(input_lengths)
        return lengths.clamp(min=0) if isinstance(lengths, torch.Tensor) else max(lengths, 0)

    def check_labels(self, labels: torch.Tensor):
        """ValueError if these are no labels for this model: no tensor, or class indices beyond its classes."""
        if not isinstance(labels, torch.Tensor):
            is_single = isinstance(labels, str) or not hasattr(labels, "__iter__")
            first = labels if is_single else next(iter(labels), None)
            what, numbers = type(labels).__name__, "labels"
            if isinstance(first, str):
                what, numbers = f"names such as {str(first)!r}", "[model.config.label2id[name] for name in labels]"
            raise ValueError(f"labels must be a tensor of class indices, got {what}: pass torch.tensor({numbers}).")
        if self.are_class_indices(labels) and is_at_hand(labels):
            # -100 says that there is no label.
            wrong = labels[((labels < 0) | (labels >= self.num_labels)) & (labels != -100)]
            if len(wrong):
                largest = labels.max().item()
                more = f": load it with num_labels={largest + 1}, or id2label" if largest >= self.num_labels else ""
                raise ValueError(
                    f"labels holds {wrong[0].item()}, but the model has {self.num_labels} classes, counted from "
                    f"0{more}."
                )

    def are_class_indices(self, labels: torch.Tensor) -> bool:
        return not labels.is_floating_point()


class SSASTPooling(nn.Module):
    """
    One vector per clip: the `"mean"` of its frames; the mean of the two tokens in front (`"cls"`); a mean weighted by
    how well each frame fits a learned query (`"attentive"`); or mean and standard deviation (`"statistics"`, of width
    2 E). `config.pooling_mode` says which, or else the head.
    """

    def __init__(self, config: SSASTConfig, default: str):
        super().__init__()
        self.config, self.default = config, default
        width = config.classifier_proj_size or config.hidden_size
        self.out_features = 2 * width if self.mode == "statistics" else width
        if self.mode == "attentive":
            self.dense = nn.Linear(width, width)
            self.query = nn.Parameter(torch.zeros(width))

    @property
    def mode(self) -> str:
        return self.config.pooling_mode or self.default

    def forward(self, reading: Reading) -> torch.Tensor:  # (B, E) or (B, 2 E)
        frames, is_audio = reading.frames, reading.is_audio
        if self.mode == "cls":
            return reading.prefix.mean(dim=1)
        # Weights in float32, which counts exactly. A clip without a frame of audio pools to zeros.
        if self.mode == "attentive":
            fit = (self.dense(frames).tanh() @ self.query).float()
            weights = fit.masked_fill(~is_audio, torch.finfo(fit.dtype).min).softmax(dim=1) * is_audio
        else:
            weights = is_audio / is_audio.sum(dim=1, keepdim=True).clamp(min=1)
        weights = weights.unsqueeze(2)  # (B, T, 1)
        pooled = (frames * weights).sum(dim=1)
        if self.mode == "statistics":
            variance = ((frames - pooled.unsqueeze(1)).square() * weights).sum(dim=1)
            # Of a single frame it is 0, where the root has no gradient.
            pooled = torch.cat((pooled, variance.clamp(min=1e-8).sqrt()), dim=1)
        return pooled.to(frames.dtype)


class SSASTClassificationHead(nn.Module):
    """Layer norm and linear classifier, (B, E) -> (B, num_labels)."""

    def __init__(self, config: SSASTConfig, in_features: int):
        super().__init__()
        self.layernorm = nn.LayerNorm(in_features, eps=config.classifier_layer_norm_eps)
        self.dense = nn.Linear(in_features, config.num_labels)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.dense(self.layernorm(pooled))


class SSASTForAudioClassification(SSASTHeadModel):
    """SSAST with a linear classifier on a pooled clip, for fine-tuning; pools by the mean unless told otherwise."""

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        # Which of transformers' losses `loss_function` is; it cannot tell from the name of this class.
        self.loss_type = "ForSequenceClassification"
        self.pooling = SSASTPooling(config, default="mean")
        self.classifier = SSASTClassificationHead(config, self.pooling.out_features)
        self.freeze_unused()
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,  # (B, frames, mels)
        attention_mask: torch.Tensor | None = None,  # (B, frames), nonzero = audio
        labels: torch.Tensor | None = None,  # (B,) or (B, num_labels)
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> SequenceClassifierOutput:
        """
        Args:
            input_values, attention_mask, output_attentions, output_hidden_states, return_dict: As in
                [`SSASTModel.forward`].
            labels (`torch.Tensor`, *optional*): Class indices of shape `(batch_size,)`, int64; or 0 and 1 of shape
                `(batch_size, num_labels)`, floating point, for any number of labels per clip; or, with one label,
                numbers for regression. As everywhere in transformers, `config.problem_type` decides if it is set.

        Raises:
            ValueError: If the labels are no tensor, names for example, or one is not among the classes; the latter
                except on other devices than the CPU, where the host would have to wait, and in compiled models.
        """
        if labels is not None:
            self.check_labels(labels)
        reading = self.read_encoder(input_values, attention_mask, output_attentions, output_hidden_states)
        logits = self.classifier(self.pooling(reading))
        return SequenceClassifierOutput(
            loss=None if labels is None else self.loss_function(labels, logits.float(), self.config),
            logits=logits,
            hidden_states=reading.hidden_states,
            attentions=reading.attentions,
        )

    def are_class_indices(self, labels: torch.Tensor) -> bool:
        is_index = not labels.is_floating_point() and self.num_labels > 1
        return is_index and self.config.problem_type in (None, "single_label_classification")


class SSASTCosines(nn.Module):
    """
    Cosines between embeddings and one direction per class, trained by additive-margin softmax (Wang et al. 2018,
    https://arxiv.org/abs/1801.05599).
    """

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.zeros(config.num_labels, config.xvector_output_dim))
        # Batches trained on. A buffer, so that a resumed run goes on from there.
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:  # (B, xvector_output_dim) -> (B, num_labels), float32
        return linear(normalize(embeddings.float()), normalize(self.weight.float()))

    def loss(self, cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """In training the margin grows over the warm-up; evaluation has all of it, so that losses compare."""
        margin = self.config.am_softmax_margin
        if self.training and self.config.am_softmax_warmup_steps:
            margin = margin * (self.steps / self.config.am_softmax_warmup_steps).clamp(max=1.0)
        if self.training:
            self.steps += 1
        return am_softmax(cosines, labels, self.config.am_softmax_scale, margin)


class SSASTForXVector(SSASTHeadModel):
    """
    SSAST for speakers: to identify those it was trained on by its logits, and to verify others by the cosine between
    two embeddings. Pools attentively unless told otherwise.
    """

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        self.pooling = SSASTPooling(config, default="attentive")
        self.embedding = nn.Linear(self.pooling.out_features, config.xvector_output_dim)
        self.objective = SSASTCosines(config)
        self.freeze_unused()
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,  # (B, frames, mels)
        attention_mask: torch.Tensor | None = None,  # (B, frames), nonzero = audio
        labels: torch.Tensor | None = None,  # (B,)
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> XVectorOutput:
        """
        Args:
            input_values, attention_mask, output_attentions, output_hidden_states, return_dict: As in
                [`SSASTModel.forward`].
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*): Indices of speakers.

        Returns:
            [`~transformers.modeling_outputs.XVectorOutput`] with `embeddings` of shape `(batch_size,
            xvector_output_dim)` and `logits` of shape `(batch_size, num_labels)`: cosines to the speakers, without
            margin. The loss is the additive-margin softmax of `config.am_softmax_scale`, `am_softmax_margin` and
            `am_softmax_warmup_steps`.

        Raises:
            ValueError: If the labels are no class indices; see [`SSASTForAudioClassification.forward`].
        """
        if labels is not None:
            self.check_labels(labels)
            if labels.ndim != 1 or labels.is_floating_point():
                raise ValueError(
                    f"labels must be class indices of shape (batch_size,), got {tuple(labels.shape)} {labels.dtype}."
                )
        reading = self.read_encoder(input_values, attention_mask, output_attentions, output_hidden_states)
        embeddings = self.embedding(self.pooling(reading))
        cosines = self.objective(embeddings)
        return XVectorOutput(
            loss=None if labels is None else self.objective.loss(cosines, labels),
            logits=cosines,
            embeddings=embeddings,
            hidden_states=reading.hidden_states,
            attentions=reading.attentions,
        )


class SSASTForCTC(SSASTHeadModel):
    """
    SSAST with a linear layer over characters, for transcription by connectionist temporal classification (CTC). The
    blank is `config.pad_token_id`, or 0.
    """

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        check_ctc_token(config, config.time_stride)
        if config.vocab_size is None:
            raise ValueError(
                "SSASTForCTC needs the size of the vocabulary: pass vocab_size=len(tokenizer) and "
                "pad_token_id=tokenizer.pad_token_id."
            )
        self.blank = config.pad_token_id or 0
        if self.blank >= config.vocab_size:
            raise ValueError(f"pad_token_id={self.blank}, the blank, is beyond vocab_size={config.vocab_size}.")
        self.num_too_long = 0  # labels that could not be aligned so far
        self.dropout = nn.Dropout(config.final_dropout)
        self.ctc_head = nn.Linear(config.classifier_proj_size or config.hidden_size, config.vocab_size)
        self.freeze_unused()
        self.post_init()

    def set_input_geometry(self, max_length=None, frequency_stride=None, time_stride=None):
        """As in [`SSASTPreTrainedModel.set_input_geometry`], but no tokens that are too long for CTC."""
        check_ctc_token(self.config, self.config.time_stride if time_stride is None else time_stride)
        super().set_input_geometry(max_length, frequency_stride, time_stride)

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,  # (B, frames, mels)
        attention_mask: torch.Tensor | None = None,  # (B, frames), nonzero = audio
        labels: torch.Tensor | None = None,  # (B, characters)
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> CausalLMOutput:
        """
        Args:
            input_values, attention_mask, output_attentions, output_hidden_states, return_dict: As in
                [`SSASTModel.forward`].
            labels (`torch.LongTensor` of shape `(batch_size, num_characters)`, *optional*): Characters; negative
                numbers, such as -100, and blanks are padding.

        Returns:
            [`~transformers.modeling_outputs.CausalLMOutput`] with `logits` of shape `(batch_size, grid_time,
            vocab_size)`, which under an attention mask say blank on padding.

        Raises:
            ValueError: If the labels are no numbers of this shape, or one is beyond the vocabulary.
        """
        if labels is not None:
            self.check_labels(labels)
        reading = self.read_encoder(input_values, attention_mask, output_attentions, output_hidden_states)
        logits = self.ctc_head(self.dropout(reading.frames))
        nothing = logits.new_full((logits.shape[2],), torch.finfo(logits.dtype).min)
        nothing[self.blank] = 0.0
        logits = torch.where(reading.is_audio.unsqueeze(2), logits, nothing)
        return CausalLMOutput(
            loss=None if labels is None else self.align(logits, labels, reading.is_audio),
            logits=logits,
            hidden_states=reading.hidden_states,
            attentions=reading.attentions,
        )

    def check_labels(self, labels: torch.Tensor):
        if not isinstance(labels, torch.Tensor):
            raise ValueError(
                f"labels must be a tensor of characters, got {type(labels).__name__}: pass "
                'tokenizer(texts, padding=True, return_tensors="pt").input_ids.'
            )
        if labels.ndim != 2 or labels.is_floating_point():
            raise ValueError(
                f"labels must be characters of shape (batch_size, num_characters), got {tuple(labels.shape)} "
                f"{labels.dtype}."
            )

    def align(self, logits: torch.Tensor, labels: torch.Tensor, is_audio: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, T, vocabulary) and labels (B, characters), of so many tokens of audio, (B, T)."""
        if labels.numel() and labels.max() >= self.config.vocab_size:
            raise ValueError(f"labels holds {labels.max().item()}, but vocab_size={self.config.vocab_size}.")
        is_character = (labels >= 0) & (labels != self.blank)
        num_tokens, num_characters = is_audio.sum(dim=1), is_character.sum(dim=1)
        # Between two equal characters there has to be a blank, whatever padding is between them here.
        characters = labels.gather(1, is_character.int().argsort(dim=1, descending=True, stable=True))
        is_there = torch.arange(labels.shape[1], device=labels.device) < num_characters.unsqueeze(1)
        is_double = (characters[:, 1:] == characters[:, :-1]) & is_there[:, 1:]
        self._warn_of_long_labels(num_characters + is_double.sum(dim=1), num_tokens)
        # cuDNN's own loss is not deterministic, and takes no long labels.
        with torch.backends.cudnn.flags(enabled=False):
            return ctc_loss(
                logits.float().log_softmax(dim=2).transpose(0, 1),
                labels[is_character],
                num_tokens,
                num_characters,
                blank=self.blank,
                reduction=self.config.ctc_loss_reduction,
                zero_infinity=self.config.ctc_zero_infinity,
            )

    def _warn_of_long_labels(self, needed: torch.Tensor, num_tokens: torch.Tensor):
        """
        A warning that names the clips whose label takes more tokens than there are, by (B,) each: nothing can be
        learned from these. The host waits for the device, as it does for the loss.
        """
        clips = (needed > num_tokens).nonzero().flatten().tolist()
        if clips:
            self.num_too_long += len(clips)
            counts = [f"clip {i} ({needed[i].item()} for {num_tokens[i].item()})" for i in clips[:10]]
            effect = "add nothing to the loss" if self.config.ctc_zero_infinity else "make the loss infinite"
            logger.warning(
                f"{len(clips)} of {len(needed)} labels of the batch need more tokens than their clips have, and "
                f"{effect}: {', '.join(counts)}{', ...' if clips[10:] else ''}; {self.num_too_long} so far. Drop "
                "them, or correct their texts."
            )


def check_ctc_token(config: SSASTConfig, time_stride: int):
    """ValueError unless tokens that are `time_stride` frames apart are close enough for characters."""
    seconds = time_stride * config.frame_seconds[0]
    if seconds > LONGEST_CTC_TOKEN + 1e-9:
        raise ValueError(
            f"Tokens too coarse for CTC: time_stride={time_stride} makes one per {1000 * seconds:g} ms, which is "
            f"{1 / seconds:.3g} per second, and each can write one character at most. CTC takes at most "
            f"{1000 * LONGEST_CTC_TOKEN:g} ms: take a model of frames (patches of 128 x 2), or load the encoder as "
            "SSASTModel, call its set_input_geometry(time_stride=4), save it, and load that folder."
        )


class SSASTForAudioFrameClassification(SSASTHeadModel):
    """SSAST with a linear classifier on every time step, for events in time, one or several at once."""

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        self.classifier = nn.Linear(config.classifier_proj_size or config.hidden_size, config.num_labels)
        self.freeze_unused()
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,  # (B, frames, mels)
        attention_mask: torch.Tensor | None = None,  # (B, frames), nonzero = audio
        labels: torch.Tensor | None = None,  # (B, T) or (B, T, num_labels)
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> TokenClassifierOutput:
        """
        Args:
            input_values, attention_mask, output_attentions, output_hidden_states, return_dict: As in
                [`SSASTModel.forward`].
            labels (`torch.Tensor`, *optional*): One class per time step, int64 of shape `(batch_size, grid_time)`,
                -100 for none; or any number of them, 0 and 1 (or between) of shape `(batch_size, grid_time,
                num_labels)`, -100 for unknown. `config.frame_times` tells when the steps are. Padding is left out.

        Returns:
            [`~transformers.modeling_outputs.TokenClassifierOutput`] with `logits` of shape `(batch_size, grid_time,
            num_labels)`, for a softmax or, after labels of the second kind, for sigmoids.

        Raises:
            ValueError: If the labels have another shape, or one is not among the classes.
        """
        if labels is not None:
            self.check_labels(labels)
        reading = self.read_encoder(input_values, attention_mask, output_attentions, output_hidden_states)
        logits = self.classifier(reading.frames)
        return TokenClassifierOutput(
            loss=None if labels is None else self.frame_loss(logits.float(), labels, reading.is_audio),
            logits=logits,
            hidden_states=reading.hidden_states,
            attentions=reading.attentions,
        )

    def frame_loss(self, logits: torch.Tensor, labels: torch.Tensor, is_audio: torch.Tensor) -> torch.Tensor:
        """Mean over all labelled steps of the batch: of logits (B, T, C) and labels (B, T) or (B, T, C)."""
        if labels.shape not in (logits.shape, logits.shape[:2]):
            raise ValueError(
                f"labels must have the shape (batch_size, grid_time) = {tuple(logits.shape[:2])} or (batch_size, "
                f"grid_time, num_labels) = {tuple(logits.shape)}, got {tuple(labels.shape)}."
            )
        if self.config.problem_type is None:  # so that whoever loads the model knows what its logits are for
            kind = "single_label_classification" if labels.ndim == 2 else "multi_label_classification"
            self.config.problem_type = kind
        if labels.ndim == 2:
            if labels.is_floating_point():
                raise ValueError(f"labels of shape (batch_size, grid_time) must be class indices, got {labels.dtype}.")
            known = is_audio & (labels != -100)
            losses = cross_entropy(logits.transpose(1, 2), labels, reduction="none")
        else:
            known = is_audio.unsqueeze(2) & (labels >= 0)
            losses = binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
        return masked_mean(losses, known)

    def are_class_indices(self, labels: torch.Tensor) -> bool:
        return not labels.is_floating_point() and labels.ndim == 2


SSASTForAudioClassification.register_for_auto_class("AutoModelForAudioClassification")
SSASTForXVector.register_for_auto_class("AutoModelForAudioXVector")
SSASTForCTC.register_for_auto_class("AutoModelForCTC")
SSASTForAudioFrameClassification.register_for_auto_class("AutoModelForAudioFrameClassification")
