"""Encoding only what is not masked (`decoder_num_hidden_layers` above 0)."""

import pytest
import torch
from safetensors.torch import load_file

from ssast_hf import SSASTConfig, SSASTForPretraining
from ssast_hf.conversion.original import convert_hf_to_original
from ssast_hf.conversion.stock_ast import convert_hf_to_ast


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    config.decoder_num_hidden_layers = 2
    return SSASTForPretraining(config).eval()


def test_encoder_sees_visible_patches_and_nothing_else(model, input_values):
    seen = []
    layer = model.base_model.encoder.layer[0]
    layer.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    outputs = model(input_values, output_hidden_states=True)
    assert seen[0].shape == (3, 2 + 12, 32)  # 12 of 32 patches are visible
    embeddings = model.base_model.embeddings(input_values)
    for clip in range(3):
        expected = embeddings[clip, 2:][~outputs.bool_masked_pos[clip]]
        assert torch.equal(seen[0][clip, 2:], expected)
    assert outputs.hidden_states[-1].shape == (3, 14, 32)


def test_masked_pixels_reach_the_loss_as_targets_only(model, input_values):
    outputs = model(input_values)
    mask = outputs.bool_masked_pos
    changed = input_values.clone()
    hidden = mask.view(3, 4, 8).repeat_interleave(8, dim=1).repeat_interleave(8, dim=2).transpose(1, 2)
    changed[hidden] += 1.0
    again = model(changed, bool_masked_pos=mask)
    assert torch.equal(again.reconstruction, outputs.reconstruction)
    assert again.generative_loss != outputs.generative_loss


def test_decoder_has_half_the_width_unless_told_otherwise(model, config, input_values):
    assert model.decoder.layer[0].intermediate.dense.weight.shape == (32, 16)  # of an encoder with (64, 32)
    config.decoder_hidden_size = 32
    wide = SSASTForPretraining(config)
    assert {name.split(".")[1] for name in wide.state_dict() if name.startswith("decoder.")} == {"layer", "layernorm"}
    assert wide(input_values).loss.isfinite()


def test_width_of_the_decoder_follows_the_encoder(config):
    changed = SSASTConfig(**config.to_dict() | {"hidden_size": 36, "num_attention_heads": 6})
    assert changed.decoder_width == 0
    changed.decoder_num_hidden_layers = 1
    assert changed.decoder_width == 18


@pytest.mark.parametrize("width", [16, 32])
def test_decoder_adds_up_in_float32_under_autocast(width, config, input_values):
    config.decoder_num_hidden_layers, config.decoder_hidden_size = 2, width
    model = SSASTForPretraining(config)
    seen = []
    model.decoder.layer[1].register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    with torch.autocast("cpu", torch.bfloat16):
        model(input_values)
    assert seen[0].dtype == torch.float32
    assert seen[0].shape[2] == width


def test_every_parameter_gets_a_gradient(model, input_values):
    model(input_values).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_padding_and_uneven_masks_change_nothing_for_a_clip(model, input_values):
    frames = [64, 40, 24]
    attention_mask = (torch.arange(64) < torch.tensor(frames)[:, None]).long()
    mask = model.draw_mask(input_values, attention_mask, torch.Generator().manual_seed(0))
    together = model(input_values, attention_mask, bool_masked_pos=mask)
    for clip, length in enumerate(frames):
        columns = mask[clip].view(4, 8)[:, : length // 8].reshape(1, -1)
        alone = model(input_values[clip : clip + 1, :length], bool_masked_pos=columns)
        patches = together.reconstruction[clip].view(4, 8, -1)[:, : length // 8].flatten(0, 1)
        torch.testing.assert_close(patches, alone.reconstruction[0], rtol=0, atol=1e-5)


def test_drawn_and_given_masks_agree(model, input_values):
    attention_mask = (torch.arange(64) < torch.tensor([64, 48, 32])[:, None]).long()
    for padding in (None, attention_mask):
        drawn = model(input_values, padding, generator=torch.Generator().manual_seed(1))
        given = model(input_values, padding, bool_masked_pos=drawn.bool_masked_pos)
        torch.testing.assert_close(given.loss, drawn.loss)


def test_compiles_and_exports_with_a_given_mask(model, input_values):
    mask = model.draw_mask(input_values, generator=torch.Generator().manual_seed(3))
    mask[0, :4] = False  # as many as the configuration says only by chance
    expected = model(input_values, bool_masked_pos=mask).loss
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(input_values, bool_masked_pos=mask).loss, expected)
    exported = torch.export.export(model, (input_values,), {"bool_masked_pos": mask}).module()
    torch.testing.assert_close(exported(input_values, bool_masked_pos=mask).loss, expected)


def test_compiles_without_a_break(model, input_values):
    torch.manual_seed(2)
    attention_mask = (torch.arange(64) < torch.tensor([64, 40, 24])[:, None]).long()
    expected = model(input_values, attention_mask).loss
    torch.manual_seed(2)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(input_values, attention_mask).loss, expected)


def test_decoder_is_saved_under_its_name_and_left_behind_on_export(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    names = set(load_file(tmp_path / "model" / "model.safetensors"))
    decoder = {name for name in names if name.startswith("decoder.")}
    assert {"decoder.layer.1.attention.attention.query.weight", "decoder.layernorm.bias"} <= decoder
    assert names - decoder == {name for name, _ in model.named_parameters() if not name.startswith("decoder.")}
    report = convert_hf_to_ast(tmp_path / "model", tmp_path / "ast")
    assert "hidden states agree" in report[-1]
    report = convert_hf_to_original(tmp_path / "model", tmp_path / "original.pth")
    assert "The decoder is not among them" in report[1]


def test_a_model_without_decoder_gets_a_fresh_one(model, config, input_values, tmp_path):
    config.decoder_num_hidden_layers = 0
    SSASTForPretraining(config).save_pretrained(tmp_path)
    loaded, info = SSASTForPretraining.from_pretrained(tmp_path, decoder_num_hidden_layers=1, output_loading_info=True)
    assert all(name.startswith("decoder.") for name in info["missing_keys"])
    assert loaded(input_values).loss.isfinite()
