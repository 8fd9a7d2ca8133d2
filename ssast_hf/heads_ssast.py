"""Heads for labelled audio on SSAST's encoder: classification. Shapes are written as in `modeling_ssast.py`."""

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from .configuration_ssast import SSASTConfig

# Some of these are not used here. transformers 4.57 and 5.0 copy the files that a modelling file imports, but not what
# these import in turn. To be removed when neither is supported any more.
from .losses_ssast import info_nce  # noqa: F401
from .masking_ssast import sample_mask  # noqa: F401
from .modeling_ssast import SSASTModel, SSASTPreTrainedModel, is_at_hand
from .outputs_ssast import SSASTModelOutput  # noqa: F401


class SSASTClassificationHead(nn.Module):
    """Layer norm and linear classifier, (B, D) -> (B, num_labels)."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.classifier_layer_norm_eps)
        self.dense = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, pooler_output: torch.Tensor) -> torch.Tensor:
        return self.dense(self.layernorm(pooler_output))


class SSASTForAudioClassification(SSASTPreTrainedModel):
    """SSAST with a linear classifier on the pooled output, for fine-tuning."""

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        # Which of transformers' losses `loss_function` is; it cannot tell from the name of this class.
        self.loss_type = "ForSequenceClassification"
        self.num_labels = config.num_labels
        self.audio_spectrogram_transformer = SSASTModel(config)
        self.classifier = SSASTClassificationHead(config)
        self.freeze_unused()
        self.post_init()

    def freeze_unused(self):
        # Nothing is masked here; the token is kept for the way back to pretraining.
        self.audio_spectrogram_transformer.embeddings.mask_token.requires_grad_(False)

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
        outputs = self.audio_spectrogram_transformer(
            input_values,
            attention_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.classifier(outputs.pooler_output)
        return SequenceClassifierOutput(
            loss=None if labels is None else self.loss_function(labels, logits.float(), self.config),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def check_labels(self, labels: torch.Tensor):
        """ValueError if these are no labels for this model, of shape (B,) or (B, num_labels)."""
        if not isinstance(labels, torch.Tensor):
            is_single = isinstance(labels, str) or not hasattr(labels, "__iter__")
            first = labels if is_single else next(iter(labels), None)
            what, numbers = type(labels).__name__, "labels"
            if isinstance(first, str):
                what, numbers = f"names such as {str(first)!r}", "[model.config.label2id[name] for name in labels]"
            raise ValueError(f"labels must be a tensor of class indices, got {what}: pass torch.tensor({numbers}).")
        is_index = not labels.is_floating_point() and self.num_labels > 1
        if is_index and self.config.problem_type in (None, "single_label_classification") and is_at_hand(labels):
            # -100 says that a clip has no label.
            wrong = labels[((labels < 0) | (labels >= self.num_labels)) & (labels != -100)]
            if len(wrong):
                largest = labels.max().item()
                more = f": load it with num_labels={largest + 1}, or id2label" if largest >= self.num_labels else ""
                raise ValueError(
                    f"labels holds {wrong[0].item()}, but the model has {self.num_labels} classes, counted from "
                    f"0{more}."
                )


SSASTForAudioClassification.register_for_auto_class("AutoModelForAudioClassification")
