"""Losses and features in parts, in little memory, and without waiting for the device."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPretraining, losses_ssast
from ssast_hf.configuration_ssast import CHOICES
from ssast_hf.losses_ssast import info_nce


# What makes the host wait until the device has computed a value, or how many there are.
WAITING = "_local_scalar_dense is_nonzero nonzero masked_select unique_dim unique_consecutive _unique2 equal".split()


class NoWaiting(TorchDispatchMode):
    """Fails where the host would have to wait for the device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.partition("::")[2]
        assert name not in WAITING, name
        if name.startswith("index"):
            indices = [index for index in args[1] if index is not None] if isinstance(args[1], (list, tuple)) else []
            assert all(index.dtype not in (torch.bool, torch.uint8) for index in indices), "a selection by booleans"
        return function(*args, **kwargs or {})


class LargestTensor(TorchDispatchMode):
    """The number of values in the largest tensor that was made."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        results = result if isinstance(result, (list, tuple)) else [result]
        self.size = max([self.size, *(each.numel() for each in results if isinstance(each, torch.Tensor))])
        return result


def masked_patches(num_patches: int):
    """Predictions and targets (2, num_patches, 4) with some equal targets, and a mask."""
    generator = torch.Generator().manual_seed(0)
    predictions, targets = torch.randn(2, 2, num_patches, 4, generator=generator)
    targets[:, 1:10:3] = targets[:, :1]
    return predictions.requires_grad_(), targets, torch.rand(2, num_patches, generator=generator) < 0.8


@pytest.mark.parametrize("axis", ["predictions", "targets"])
@pytest.mark.parametrize("exclude_duplicates", [True, False])
def test_patches_are_compared_in_parts_with_the_same_result(axis, exclude_duplicates, monkeypatch):
    predictions, targets, is_masked = masked_patches(30)
    results = []
    for rows in (30, 7):
        monkeypatch.setattr(losses_ssast, "ROWS", rows)
        loss, accuracy, duplicate_fraction = info_nce(predictions, targets, is_masked, axis, exclude_duplicates)
        (gradient,) = torch.autograd.grad(loss, predictions)
        results.append((loss, accuracy, duplicate_fraction, gradient))
    for whole, in_parts in zip(*results, strict=True):
        torch.testing.assert_close(in_parts, whole)


def test_memory_does_not_grow_with_the_square_of_the_patches(monkeypatch):
    monkeypatch.setattr(losses_ssast, "ROWS", 8)
    predictions, targets, is_masked = masked_patches(400)
    with LargestTensor() as largest:
        info_nce(predictions, targets, is_masked)[0].backward()
    assert largest.size <= 2 * 400 * 8


@pytest.mark.parametrize("num_decoder_layers", [0, 1])
def test_no_step_waits_for_the_device(config, num_decoder_layers):
    """On the meta device, which has no values that anybody could wait for, or copy to the host."""
    config.num_hidden_layers, config.decoder_num_hidden_layers = 1, num_decoder_layers
    input_values = torch.zeros(3, 64, 32, device="meta")
    with torch.device("meta"):
        model = SSASTForPretraining(config)
    # Which patches are masked, and what is asked of them, know nothing of each other.
    for objective, strategy in zip(CHOICES["objective"], CHOICES["mask_strategy"], strict=True):
        model.config.objective, model.config.mask_strategy = objective, strategy
        model.freeze_unused()
        with NoWaiting():
            for attention_mask in (None, torch.ones(3, 64, device="meta")):
                model(input_values, attention_mask).loss.backward()
                if not num_decoder_layers:  # with one, masks that are given are counted
                    model(input_values, attention_mask, torch.ones(3, 32, dtype=torch.bool, device="meta"))


def test_masks_are_drawn_where_the_generator_lives(model):
    """A generator of another device than the model is no mistake."""
    generator = torch.Generator("cpu").manual_seed(0)
    mask = model.to("meta").draw_mask(torch.zeros(3, 64, 32, device="meta"), generator=generator)
    assert (mask.device.type, mask.shape) == ("meta", (3, 32))


@pytest.mark.parametrize("labels", [torch.zeros(3, dtype=torch.long), torch.zeros(3, 5)])
def test_no_classifier_waits_for_the_device(config, labels):
    config.num_labels = 5
    model = SSASTForAudioClassification(config).to("meta")
    with NoWaiting():
        model(
            torch.zeros(3, 64, 32, device="meta"), torch.ones(3, 64, device="meta"), labels.to("meta")
        ).loss.backward()


def test_no_feature_waits_for_the_device():
    feature_extractor = SSASTFeatureExtractor(max_length=64)
    with NoWaiting():
        features = feature_extractor.extract(torch.zeros(3, 9000, device="meta"), torch.ones(3, device="meta").long())
    assert features.shape == (3, 64, 128)


def test_waiting_is_noticed():
    with NoWaiting(), pytest.raises(AssertionError, match="_local_scalar_dense"):
        torch.ones(()).item()
    with NoWaiting(), pytest.raises(NotImplementedError):
        torch.ones(3, device="meta").cpu()
    with NoWaiting(), pytest.raises(AssertionError):
        torch.ones(3)[torch.ones(3, dtype=torch.bool)]
