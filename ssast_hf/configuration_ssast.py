"""Configuration of the Self-Supervised Audio Spectrogram Transformer (SSAST, Gong et al., AAAI 2022)."""

import inspect
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from transformers import PretrainedConfig
from transformers.activations import ACT2FN

from .feature_extraction_ssast import FRAME_LENGTH_MS, FRAME_SHIFT_MS


# Which class of which file every Auto class loads when this folder is used with `trust_remote_code=True`.
AUTO_MAP = {
    "AutoConfig": "configuration_ssast.SSASTConfig",
    "AutoFeatureExtractor": "feature_extraction_ssast.SSASTFeatureExtractor",
    "AutoModel": "modeling_ssast.SSASTModel",
    "AutoModelForAudioClassification": "heads_ssast.SSASTForAudioClassification",
    "AutoModelForAudioFrameClassification": "heads_ssast.SSASTForAudioFrameClassification",
    "AutoModelForAudioXVector": "heads_ssast.SSASTForXVector",
    "AutoModelForCTC": "heads_ssast.SSASTForCTC",
    "AutoModelForPreTraining": "modeling_ssast.SSASTForPretraining",
}

# How sentence-transformers loads a folder. Left to itself it takes the mean over all tokens, padding included.
SENTENCE_TRANSFORMERS = {
    "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}],
    "sentence_bert_config.json": {
        "transformer_task": "feature-extraction",
        "modality_config": {"audio": {"method": "forward", "method_output_name": "pooler_output"}},
        "module_output_name": "sentence_embedding",
        "processing_kwargs": {"audio": {"return_attention_mask": True}},
    },
}

CHOICES = {
    "pooling_mode": (None, "mean", "cls", "attentive", "statistics"),
    "mask_strategy": ("cluster", "random", "original"),
    "objective": ("joint", "discriminative", "generative"),
    "contrastive_axis": ("predictions", "targets"),
    "hidden_act": tuple(ACT2FN),
    "qkv_bias": (True, False),
    "exclude_duplicate_negatives": (True, False),
    "use_weighted_layer_sum": (True, False),
    "ctc_loss_reduction": ("mean", "sum"),
    "ctc_zero_infinity": (True, False),
}
POSITIVE_INTEGERS = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size frequency_stride time_stride max_length "
    "num_mel_bins xvector_output_dim"
).split()
# Or `None`, with the first number that is possible.
OPTIONAL_INTEGERS = {"classifier_proj_size": 1, "vocab_size": 1, "pad_token_id": 0}
# The lowest possible value, and the first that is too large.
RANGES = {
    "hidden_dropout_prob": (0, 1),
    "attention_probs_dropout_prob": (0, 1),
    "layer_norm_eps": (1e-30, float("inf")),
    "classifier_layer_norm_eps": (1e-30, float("inf")),
    "initializer_range": (1e-30, float("inf")),
    "generative_loss_weight": (0, float("inf")),
    "am_softmax_scale": (1e-30, float("inf")),
    "am_softmax_margin": (0, 2),
    "am_softmax_warmup_steps": (0, float("inf")),
    "final_dropout": (0, 1),
    "event_threshold": (0, 1),
}


SAMPLING_RATE = 16000  # Hz, of all released models
# What most released models mask: so many of so many patches.
RELEASED_MASK = (400, 512)


def same_share(num_masked: int, num_patches: int, other_num_patches: int) -> int:
    """The share that `num_masked` is of `num_patches`, of another number of patches; at least one, never all."""
    return min(max(round(num_masked * other_num_patches / num_patches), 1), other_num_patches - 1)


class SSASTConfig(PretrainedConfig):
    """
    Everything that shapes an SSAST model. The encoder's fields are those of
    [`ASTConfig`](https://huggingface.co/docs/transformers/model_doc/audio-spectrogram-transformer); the others belong
    to self-supervised pretraining. The defaults are SSAST-Base-Patch-400.

    Args:
        hidden_size (`int`, defaults to 768): Width of the encoder; a multiple of `num_attention_heads`.
        num_hidden_layers (`int`, defaults to 12): Number of Transformer layers.
        num_attention_heads (`int`, defaults to 12): Attention heads per layer. The released models use 64 dimensions
            per head.
        intermediate_size (`int`, defaults to 3072): Width of the feed-forward layers.
        hidden_act (`str`, defaults to `"gelu"`): Activation of the feed-forward layers.
        hidden_dropout_prob (`float`, defaults to 0.0): Dropout on embeddings and layer outputs.
        attention_probs_dropout_prob (`float`, defaults to 0.0): Dropout on attention probabilities.
        initializer_range (`float`, defaults to 0.02): Standard deviation of freshly initialised weights.
        layer_norm_eps (`float`, defaults to 1e-6): Epsilon of the encoder's layer norms. (Stock AST's default of 1e-12
            does not reproduce SSAST.)
        classifier_layer_norm_eps (`float`, defaults to 1e-5): Epsilon of the classifier's layer norm.
        patch_size (`int` or `[int, int]`, defaults to 16): Patch extent in mel bins and frames,
            `[frequency, time]`; one number for square patches. Frame models use `[128, 2]`.
        qkv_bias (`bool`, defaults to `True`): Whether query, key and value projections have a bias.
        frequency_stride, time_stride (`int`, defaults to the patch size): Steps between patches, in mel bins / frames.
        max_length (`int`, defaults to 1024): Input length in spectrogram frames (10 ms each). To change it for trained
            weights use `model.set_input_geometry`.
        num_mel_bins (`int`, defaults to 128): Number of mel bins of the input.
        pooling_mode (`"mean"`, `"cls"`, `"attentive"` or `"statistics"`, *optional*): What a head sees of a clip, if
            that is one vector: the mean of the time steps; the mean of the classification and distillation tokens
            (what stock AST does); a mean weighted by a learned query; or mean and standard deviation. If not given,
            `"attentive"` for x-vectors and else `"mean"`. `pooler_output` is the mean unless this is `"cls"`.
        mask_strategy (`"cluster"`, `"random"` or `"original"`, defaults to `"cluster"`): How masked patches are drawn;
            see `masking_ssast.py`.
        num_masked_patches (`int`, *optional*): Masked patches per full-length clip; clips with fewer patches mask the
            same share. If not given, the share of most released models, 400 of 512; it is stored as a number.
        generative_loss_weight (`float`, defaults to 10.0): Weight of the reconstruction loss in the joint objective.
        objective (`"joint"`, `"discriminative"` or `"generative"`, defaults to `"joint"`): What is trained. The head
            of an inactive objective is kept but frozen.
        contrastive_axis (`"predictions"` or `"targets"`, defaults to `"predictions"`): Axis of the InfoNCE softmax:
            over the predictions as in the released code, or over the targets as in Equation 1 of the paper.
        exclude_duplicate_negatives (`bool`, defaults to `True`): Whether patches that are bitwise equal to the target
            (padding, digital silence) are left out of the InfoNCE denominator.
        decoder_num_hidden_layers (`int`, defaults to 0): With 1 or more (2 are enough), pretraining encodes only the
            patches that are not masked, which is faster; so many further layers then decode all of them for the two
            heads. Without effect on embeddings and fine-tuning.
        decoder_hidden_size (`int`, *optional*): Width of these layers, a multiple of `num_attention_heads`; half of
            `hidden_size`, rounded down to such a multiple, if not given. Their feed-forward layers are as much wider
            as the encoder's are.
        use_weighted_layer_sum (`bool`, defaults to `False`): Whether heads see a sum of the embeddings and all layers,
            with learned weights, instead of the last layer.
        classifier_proj_size (`int`, *optional*): Width to which time steps are projected before they are pooled.
        xvector_output_dim (`int`, defaults to 512): Width of the embeddings of [`SSASTForXVector`].
        am_softmax_scale (`float`, defaults to 30.0), am_softmax_margin (`float`, defaults to 0.4): Of its loss.
        am_softmax_warmup_steps (`int`, defaults to 0): Batches over which the margin grows from 0.
        vocab_size (`int`, *optional*): Characters of [`SSASTForCTC`], which needs it.
        pad_token_id (`int`, *optional*): Which of them is the blank; 0 if not given.
        final_dropout (`float`, defaults to 0.0): Dropout before its last layer.
        ctc_loss_reduction (`"mean"` or `"sum"`, defaults to `"mean"`): Over clips, of their loss per character or of
            their whole loss.
        ctc_zero_infinity (`bool`, defaults to `True`): Whether a label that is too long for its clip adds nothing to
            the loss; otherwise it makes it infinite. There is a warning in any case.
        event_threshold (`float`, defaults to 0.5): Above which probability [`SSASTForAudioFrameClassification`] is
            taken to say that an event is there, if several may be at once. `ssast-hf finetune` chooses it.

    Raises:
        ValueError: If a value is out of range; the message names the field and the value.
    """

    model_type = "ssast"
    # Declared because transformers >= 5.8 refuses to save an undeclared field that is also a generation parameter.
    max_length: int = 1024

    # What `Trainer.predict` need not collect for a whole data set.
    keys_to_ignore_at_inference = ["reconstruction", "bool_masked_pos", "hidden_states", "attentions"]

    # transformers >= 5.8 turns configurations into dataclasses whose `__eq__` looks at declared fields only.
    __eq__ = PretrainedConfig.__eq__

    def __init__(
        self,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.02,
        layer_norm_eps=1e-6,
        classifier_layer_norm_eps=1e-5,
        patch_size=16,
        qkv_bias=True,
        frequency_stride=None,
        time_stride=None,
        max_length=1024,
        num_mel_bins=128,
        pooling_mode=None,
        mask_strategy="cluster",
        num_masked_patches=None,
        generative_loss_weight=10.0,
        objective="joint",
        contrastive_axis="predictions",
        exclude_duplicate_negatives=True,
        decoder_num_hidden_layers=0,
        decoder_hidden_size=None,
        use_weighted_layer_sum=False,
        classifier_proj_size=None,
        xvector_output_dim=512,
        am_softmax_scale=30.0,
        am_softmax_margin=0.4,
        am_softmax_warmup_steps=0,
        vocab_size=None,
        pad_token_id=None,
        final_dropout=0.0,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
        event_threshold=0.5,
        **kwargs,
    ):
        # First, because in transformers 4.57 it resets `max_length` to a text generation default.
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.classifier_layer_norm_eps = classifier_layer_norm_eps
        # Square patches are written as one number: stock AST reads nothing else.
        if isinstance(patch_size, (list, tuple)):
            square = len(patch_size) == 2 and patch_size[0] == patch_size[1]
            patch_size = patch_size[0] if square else list(patch_size)
        self.patch_size = patch_size
        self.qkv_bias = qkv_bias
        self.frequency_stride = self.patch_shape[0] if frequency_stride is None else frequency_stride
        self.time_stride = self.patch_shape[1] if time_stride is None else time_stride
        self.max_length = max_length
        self.num_mel_bins = num_mel_bins
        self.pooling_mode = pooling_mode
        self.mask_strategy = mask_strategy
        self.generative_loss_weight = generative_loss_weight
        self.objective = objective
        self.contrastive_axis = contrastive_axis
        self.exclude_duplicate_negatives = exclude_duplicate_negatives
        self.decoder_num_hidden_layers = decoder_num_hidden_layers
        self.decoder_hidden_size = decoder_hidden_size
        self.use_weighted_layer_sum = use_weighted_layer_sum
        self.classifier_proj_size = classifier_proj_size
        self.xvector_output_dim = xvector_output_dim
        self.am_softmax_scale = am_softmax_scale
        self.am_softmax_margin = am_softmax_margin
        self.am_softmax_warmup_steps = am_softmax_warmup_steps
        self.vocab_size = vocab_size
        self.pad_token_id = pad_token_id
        self.final_dropout = final_dropout
        self.ctc_loss_reduction = ctc_loss_reduction
        self.ctc_zero_infinity = ctc_zero_infinity
        self.event_threshold = event_threshold
        self.check_shapes()
        if num_masked_patches is None:
            num_masked_patches = same_share(*RELEASED_MASK, self.num_patches)
        self.num_masked_patches = num_masked_patches
        self.check_ranges()

    @property
    def patch_shape(self) -> tuple[int, int]:
        """Patch extent as (mel bins, frames)."""
        if isinstance(self.patch_size, int):
            return self.patch_size, self.patch_size
        if not isinstance(self.patch_size, (list, tuple)) or len(self.patch_size) != 2:
            raise ValueError(f"patch_size must be an integer or [frequency, time], got {self.patch_size!r}.")
        return self.patch_size[0], self.patch_size[1]

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Number of patches of a full-length input as (frequency, time)."""
        return (self.num_mel_bins - self.patch_shape[0]) // self.frequency_stride + 1, self.time_grid(self.max_length)

    @property
    def num_patches(self) -> int:
        """Number of patches of a full-length input."""
        return self.grid_shape[0] * self.grid_shape[1]

    @property
    def decoder_width(self) -> int:
        """Width of the decoder's layers; 0 without a decoder."""
        if not self.decoder_num_hidden_layers:
            return 0
        half = max(self.hidden_size // (2 * self.num_attention_heads), 1) * self.num_attention_heads
        return half if self.decoder_hidden_size is None else self.decoder_hidden_size

    def time_grid(self, num_frames: int) -> int:
        """Number of patches along time of an input of `num_frames` frames."""
        return (num_frames - self.patch_shape[1]) // self.time_stride + 1

    @property
    def frame_seconds(self) -> tuple[float, float]:
        """From one frame of the spectrogram to the next, and how long a frame is, in seconds."""
        return FRAME_SHIFT_MS / 1000, FRAME_LENGTH_MS / 1000

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples from one time step to the next, of audio at 16 kHz; read by the pipeline for speech recognition."""
        return round(self.time_stride * self.frame_seconds[0] * SAMPLING_RATE)

    def frame_times(self, num_frames: int) -> np.ndarray:
        """
        The centres of the time steps of an input of `num_frames` frames, in seconds from its beginning: those of
        `frame_hidden_states`. Float64 of shape `(grid_time,)`; empty if the input is shorter than a patch.
        """
        shift, length = self.frame_seconds
        span = (self.patch_shape[1] - 1) * shift + length
        return np.arange(max(self.time_grid(num_frames), 0)) * self.time_stride * shift + span / 2

    def check_ranges(self):
        """Raise a ValueError that names the first field whose value cannot work."""
        self.check_shapes()
        check_positive_integer("num_masked_patches", self.num_masked_patches)
        if self.num_masked_patches >= self.num_patches:
            raise ValueError(
                f"num_masked_patches={self.num_masked_patches} must be below the number of patches, "
                f"{self.num_patches} ({self.grid_shape[0]} x {self.grid_shape[1]} for "
                f"num_mel_bins={self.num_mel_bins}, max_length={self.max_length}); the released models mask 400 of "
                f"512, which here is num_masked_patches={same_share(*RELEASED_MASK, self.num_patches)}."
            )
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}; got {getattr(self, name)!r}.")
        for name, (lowest, limit) in RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not lowest <= value < limit:
                raise ValueError(f"{name} must be a number from {lowest} to below {limit}, got {value!r}.")

    def check_shapes(self):
        """The same for the sizes of the model and of its input, without the mask."""
        patch_frequency, patch_time = self.patch_shape
        check_positive_integer("patch_size[0]", patch_frequency)
        check_positive_integer("patch_size[1]", patch_time)
        for name in POSITIVE_INTEGERS:
            check_positive_integer(name, getattr(self, name))
        for name, first in OPTIONAL_INTEGERS.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < first):
                raise ValueError(f"{name} must be an integer from {first} up, or None; got {value!r}.")
        if type(self.decoder_num_hidden_layers) is not int or self.decoder_num_hidden_layers < 0:
            raise ValueError(
                f"decoder_num_hidden_layers must be an integer from 0 up, got {self.decoder_num_hidden_layers!r}."
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not divisible by num_attention_heads={self.num_attention_heads}."
            )
        width = self.decoder_hidden_size
        if width is not None and (type(width) is not int or width < 1 or width % self.num_attention_heads):
            raise ValueError(
                f"decoder_hidden_size must be a positive multiple of num_attention_heads={self.num_attention_heads}, "
                f"got {width!r}."
            )
        if patch_frequency > self.num_mel_bins or patch_time > self.max_length:
            raise ValueError(
                f"patch_size={self.patch_size} (mel bins, frames) is larger than the input of "
                f"num_mel_bins={self.num_mel_bins} x max_length={self.max_length}."
            )
        if self.num_patches == 1:
            raise ValueError(
                f"num_mel_bins={self.num_mel_bins} and max_length={self.max_length} hold a single patch of "
                f"patch_size={self.patch_size}; at least two are needed, one to mask and one to see."
            )

    def save_pretrained(self, save_directory, **kwargs):
        """
        Save as in transformers, with the complete `auto_map`, a copy of all the code that it names, and what
        sentence-transformers needs.
        """
        # transformers adds only the class being saved, so another Auto class could not load the folder.
        self.auto_map = dict(AUTO_MAP)
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        for source in code_files():
            shutil.copyfile(source, Path(save_directory) / source.name)
        for name, content in SENTENCE_TRANSFORMERS.items():
            (Path(save_directory) / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        super().save_pretrained(save_directory, **kwargs)

    def _get_generation_parameters(self):
        # transformers 5: `max_length` counts spectrogram frames here, it is no generation parameter.
        return {}

    def _get_non_default_generation_parameters(self):
        # The same in transformers 4.57.
        return {}


def check_positive_integer(name: str, value):
    """ValueError that names the field unless its value is an integer above 0."""
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")


def code_files() -> list[Path]:
    """
    The files of code that go with every saved model, this one first.

    Each is imported by name, because transformers brings along what it finds imported in this file when a folder is
    loaded by remote code. So nothing is missing when the model is saved again, whatever part of it was loaded.
    """
    from .feature_extraction_ssast import SSASTFeatureExtractor
    from .heads_ssast import SSASTForAudioClassification
    from .losses_ssast import info_nce
    from .masking_ssast import sample_mask
    from .modeling_ssast import SSASTModel
    from .outputs_ssast import SSASTModelOutput

    classes = (SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTModel, SSASTModelOutput)
    modules = [each.__module__ for each in (*classes, info_nce, sample_mask)]
    return [Path(inspect.getfile(sys.modules[name])) for name in modules]


SSASTConfig.register_for_auto_class()
