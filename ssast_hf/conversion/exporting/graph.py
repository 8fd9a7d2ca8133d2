"""A model as a graph between plain tensors, whose batch and time are open."""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from ...modeling_ssast import SSASTForPretraining, SSASTPreTrainedModel
from ...storage.guards import is_out_of_memory, reason
from ..folders import PLAIN, ConversionError
from .filter_banks import FilterBanks


class Graph(nn.Module):
    """
    Keyword tensors in, a dictionary of tensors out: those of the model's output that are there, in its order.

    Args:
        model ([`SSASTPreTrainedModel`]): Any class.
        filter_banks ([`FilterBanks`], *optional*): What makes features of waveforms, if these are the input.
        has_mask (`bool`): Whether an attention mask is an input.
    """

    def __init__(self, model: SSASTPreTrainedModel, filter_banks: FilterBanks | None, has_mask: bool):
        super().__init__()
        self.model, self.filter_banks, self.has_mask = model, filter_banks, has_mask

    def forward(self, input_values=None, waveform=None, attention_mask=None, bool_masked_pos=None):
        if self.filter_banks is not None:
            is_audio = None if attention_mask is None else attention_mask.bool()
            input_values, attention_mask = self.filter_banks(waveform, is_audio)
        options = {}
        if bool_masked_pos is not None:
            # As many patches as there are, so that nobody has to guess how their number follows from the frames.
            config = self.model.config
            places = torch.arange(config.grid_shape[0] * config.time_grid(input_values.shape[1]))
            options["bool_masked_pos"] = bool_masked_pos.gather(1, places.expand(bool_masked_pos.shape[0], -1))
        outputs = self.model(input_values, attention_mask=attention_mask, **options, **PLAIN)
        # Half precision stays inside.
        return {
            name: value.float() if value.is_floating_point() else value
            for name, value in outputs.items()
            if value is not None and name != "bool_masked_pos"  # an input
        }

    def example(self, batch_size: int, num_frames: int, seed: int = 0) -> dict[str, torch.Tensor]:
        """Random inputs, with padding in every clip but the first where there is a mask for it."""
        generator = torch.Generator().manual_seed(seed)
        config = self.model.config
        inputs = {}
        if self.filter_banks is None:
            name, length, shortest = "input_values", num_frames, config.patch_shape[1]
            shape: Sequence[int] = (batch_size, length, config.num_mel_bins)
        else:
            numbers = self.filter_banks.numbers
            name, length = "waveform", numbers.num_samples(num_frames)
            shortest = numbers.num_samples(config.patch_shape[1])
            shape = (batch_size, length)
        inputs[name] = torch.randn(shape, generator=generator)
        if self.filter_banks is not None:
            inputs[name] *= 0.1
        if self.has_mask:
            lengths = torch.randint(shortest, length + 1, (batch_size, 1), generator=generator)
            lengths[0] = length
            inputs["attention_mask"] = (torch.arange(length) < lengths).long()
        if isinstance(self.model, SSASTForPretraining):
            count = config.grid_shape[0] * config.time_grid(num_frames)
            inputs["bool_masked_pos"] = torch.rand(batch_size, count, generator=generator) < 0.5
        return inputs


class FeatureGraph(nn.Module):
    """
    Waveforms in, what the model takes out.

    Args:
        filter_banks ([`FilterBanks`]): What makes features of waveforms.
    """

    def __init__(self, filter_banks: FilterBanks):
        super().__init__()
        self.filter_banks = filter_banks

    def forward(self, waveform):
        return {"input_values": self.filter_banks(waveform)[0]}

    def example(self, batch_size: int, num_frames: int) -> dict[str, torch.Tensor]:
        """Random inputs."""
        generator = torch.Generator().manual_seed(0)
        shape = (batch_size, self.filter_banks.numbers.num_samples(num_frames))
        return {"waveform": 0.1 * torch.randn(shape, generator=generator)}


@contextmanager
def exporting(name: str):
    """What PyTorch's exporters raise of a model becomes a ConversionError."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise ConversionError(f"Exporting {name} needs more memory than there is.") from error
        raise ConversionError(
            f"PyTorch {torch.__version__} cannot export {name} ({reason(error)}). Export with another version."
        ) from error


def exported(graph: Graph) -> ExportedProgram:
    """The graph for any number of clips of any length, from one patch up; an error if a size would be fixed."""
    config = graph.model.config
    # More than a patch and less than a whole clip, no multiple of anything, and 2 clips: PyTorch takes a size of 1,
    # or one that another has as well, for a constant.
    inputs = graph.example(2, config.patch_shape[1] + 2 * config.time_stride + 1)
    if graph.filter_banks is None:
        time = Dim("frames", min=config.patch_shape[1])
    else:
        time = Dim("samples", min=graph.filter_banks.numbers.num_samples(config.patch_shape[1]))
    shapes = {name: {0: Dim("batch", min=1), 1: time} for name in inputs}
    if "bool_masked_pos" in shapes:
        shapes["bool_masked_pos"][1] = Dim.DYNAMIC
    return exported_for(graph, type(graph.model).__name__, inputs, shapes)


def exported_features(graph: FeatureGraph) -> ExportedProgram:
    """The same of features alone, from one frame up."""
    numbers = graph.filter_banks.numbers
    shapes = {"waveform": {0: Dim("batch", min=1), 1: Dim("samples", min=numbers.frame_length)}}
    return exported_for(graph, "the filter banks", graph.example(2, numbers.min_frames + 1), shapes)


def exported_for(module: nn.Module, name: str, inputs: dict[str, torch.Tensor], shapes: dict) -> ExportedProgram:
    # Without it PyTorch would assume of every size that it is not 1.
    patch = torch.fx.experimental._config.patch(backed_size_oblivious=True)
    with torch.no_grad(), patch, exporting(name):
        return torch.export.export(
            module,
            (),
            inputs,
            dynamic_shapes=shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
