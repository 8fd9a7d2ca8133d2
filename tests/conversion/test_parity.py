"""The original implementation's numbers, at the tolerances at which a faithful implementation reproduces them."""

import copy

import numpy as np
import pytest
import torch
from original import fill
from recorded import ENCODER, GRADIENTS, Reference

from ssast_hf import SSASTConfig, SSASTForAudioClassification


# With the numbers of training steps, and other patches, lengths and sizes without them.
TRAINED = ("tiny-patch", "tiny-frame")
OTHERS = ("tiny-32x8-608", "tiny-patch-1998", "small-frame-608")


@pytest.fixture(scope="module", params=[*TRAINED, *OTHERS])
def reference(request):
    return Reference(request.param)


def test_checkpoint_is_the_recorded_one(reference):
    tensors = [tensor.double() for tensor in reference.checkpoint.values() if tensor.is_floating_point()]
    assert len(reference.checkpoint) == reference.meta["num_tensors"] == 166
    assert sum(tensor.sum().item() for tensor in tensors) == pytest.approx(reference.meta["checksum_sum"], rel=1e-12)
    assert sum(tensor.abs().sum().item() for tensor in tensors) == pytest.approx(
        reference.meta["checksum_abs_sum"], rel=1e-12
    )


def test_encoder(reference):
    with torch.no_grad():
        outputs = reference.model().base_model(reference.input_values(1))
    tokens, numbers = outputs.last_hidden_state, reference.numbers
    np.testing.assert_allclose(tokens[:, :6], numbers["encoder_last_hidden_state_first_tokens"], rtol=0, atol=1e-5)
    mean_patch_token = numbers["encoder_last_hidden_state_mean_patch_token"]
    np.testing.assert_allclose(outputs.pooler_output, mean_patch_token, rtol=0, atol=1e-5)
    np.testing.assert_allclose(tokens.abs().sum(dim=(1, 2)), numbers["encoder_abs_sum"], rtol=1e-6)


@pytest.mark.parametrize(("task", "loss"), [("mpc", "discriminative_loss"), ("mpg", "generative_loss")])
def test_pretraining_pass(reference, task, loss):
    model, numbers = reference.model(), reference.numbers
    outputs = model(reference.input_values(1), bool_masked_pos=reference.mask(numbers[f"{task}_mask_indices"]))
    outputs[loss].backward()
    assert outputs[loss].item() == pytest.approx(numbers[f"{task}_loss"].item(), rel=1e-5)
    if task == "mpc":
        assert outputs.accuracy.item() == pytest.approx(numbers["mpc_accuracy"].item(), abs=1e-7)
    for source, name in GRADIENTS.items():
        gradient = model.get_parameter(name).grad
        norm = 0.0 if gradient is None else gradient.norm().item()
        assert norm == pytest.approx(numbers[f"{task}_gradnorm/{source}"].item(), rel=1e-4), name
    attention = model.base_model.encoder.layer[0].attention.attention
    fused = torch.cat([part.weight.grad for part in (attention.query, attention.key, attention.value)])
    expected = numbers[f"{task}_gradnorm/v.blocks.0.attn.qkv.weight"].item()
    assert fused.norm().item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_four_training_steps(name):
    reference = Reference(name)
    model, numbers = reference.model(), reference.numbers
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=5e-7)
    for step in range(4):
        input_values = reference.input_values(10 + step)
        which = model(input_values, bool_masked_pos=reference.mask(numbers["train_mpc_mask_indices"][step]))
        what = model(input_values, bool_masked_pos=reference.mask(numbers["train_mpg_mask_indices"][step]))
        loss = which.discriminative_loss + 10 * what.generative_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        measured = [loss.item(), which.discriminative_loss.item(), what.generative_loss.item()]
        expected = numbers["train_losses_total_nce_mse_acc"][step]
        np.testing.assert_allclose(measured, expected[:3], rtol=3e-4)
    position_embeddings = model.base_model.embeddings.position_embeddings
    assert position_embeddings.norm().item() == pytest.approx(numbers["train_final_pos_embed_norm"].item(), rel=1e-5)


def test_fine_tuning_geometries(reference):
    numbers = reference.numbers
    config = SSASTConfig(**reference.config.to_dict() | {"id2label": {i: str(i) for i in range(7)}})
    width = config.hidden_size
    shapes = {"0.bias": (width,), "0.weight": (width,), "1.bias": (7,), "1.weight": (7, width)}
    names = {"0": "classifier.layernorm", "1": "classifier.dense"}
    head = {names[key[0]] + key[1:]: tensor for key, tensor in fill(shapes, reference.meta["seed"] + 100).items()}
    encoder = {key: tensor for key, tensor in reference.state.items() if key.startswith(ENCODER)}

    geometries = [key for key in numbers if key.endswith("_geometry_fstride_tstride_tdim")]
    assert geometries
    for key in geometries:
        prefix = key.split("_")[0]
        frequency_stride, time_stride, num_frames = map(int, numbers[key])
        model = SSASTForAudioClassification(copy.deepcopy(config)).eval()
        model.load_state_dict(encoder | head)
        model.set_input_geometry(num_frames, frequency_stride, time_stride)

        position_embeddings = model.base_model.embeddings.position_embeddings.detach()
        assert position_embeddings.shape == tuple(numbers[f"{prefix}_pos_embed_shape"])
        recorded = numbers[f"{prefix}_pos_embed_slice"]
        np.testing.assert_allclose(position_embeddings[0, ::37, :8], recorded, rtol=0, atol=1e-6)
        for pooling_mode, task in (("mean", "avgtok"), ("cls", "cls")):
            model.config.pooling_mode = pooling_mode
            with torch.no_grad():
                logits = model(reference.input_values(200, num_frames)).logits
            np.testing.assert_allclose(logits, numbers[f"{prefix}_logits_{task}"], rtol=0, atol=2e-6)
