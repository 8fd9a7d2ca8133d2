import inspect
import json

import pytest

from ssast_hf import SSASTConfig
from ssast_hf.configuration_ssast import AUTO_MAP


@pytest.mark.parametrize(
    ("fields", "num_masked"),
    [
        ({}, 400),
        ({"max_length": 512}, 200),
        ({"patch_size": [128, 2], "max_length": 65}, 25),
        ({"time_stride": 10, "frequency_stride": 10}, 947),
        ({"max_length": 512, "num_masked_patches": 7}, 7),
    ],
)
def test_the_released_share_is_masked_unless_a_number_is_given(fields, num_masked, tmp_path):
    SSASTConfig(**fields).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["num_masked_patches"] == num_masked
    assert SSASTConfig.from_pretrained(tmp_path).num_masked_patches == num_masked


@pytest.mark.parametrize("field", ["layer_norm_eps", "classifier_layer_norm_eps"])
def test_any_positive_epsilon_is_valid(field):
    assert getattr(SSASTConfig(**{field: 1.0}), field) == 1.0
    for value in (0.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=field):
            SSASTConfig(**{field: value})


def test_defaults_are_the_released_base_model():
    config = SSASTConfig()
    assert (config.hidden_size, config.num_hidden_layers, config.max_length, config.num_masked_patches) == (
        768,
        12,
        1024,
        400,
    )
    assert config.grid_shape == (8, 64)
    assert config.layer_norm_eps == 1e-6


@pytest.mark.parametrize(
    ("patch_size", "stored", "grid_shape"),
    [(16, 16, (8, 64)), ([16, 16], 16, (8, 64)), ((128, 2), [128, 2], (1, 512)), ([32, 8], [32, 8], (4, 128))],
)
def test_patch_size_is_an_integer_when_square(patch_size, stored, grid_shape):
    config = SSASTConfig(patch_size=patch_size)
    assert config.patch_size == stored
    assert config.grid_shape == grid_shape
    assert (config.frequency_stride, config.time_stride) == config.patch_shape


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_masked_patches", 512),
        ("num_masked_patches", 0),
        ("patch_size", [256, 2]),
        ("patch_size", [16, 2048]),
        ("patch_size", [16]),
        ("patch_size", "16"),
        ("max_length", 8),
        ("hidden_size", 100),
        ("num_attention_heads", 0),
        ("time_stride", 0),
        ("num_hidden_layers", 1.5),
        ("mask_strategy", "blocks"),
        ("objective", "both"),
        ("pooling_mode", "max"),
        ("contrastive_axis", 1),
        ("generative_loss_weight", -1.0),
        ("generative_loss_weight", float("nan")),
        ("layer_norm_eps", 0.0),
        ("hidden_dropout_prob", 1.0),
        ("decoder_num_hidden_layers", -1),
        ("decoder_hidden_size", 50),
        ("decoder_hidden_size", 0),
        ("hidden_size", "768"),
    ],
)
def test_out_of_range_value_is_named(field, value):
    with pytest.raises(ValueError, match=field) as error:
        SSASTConfig(**{field: value})
    assert str(value).strip("[]") in str(error.value)


@pytest.mark.compatibility
def test_saved_configuration_names_all_auto_classes_and_carries_their_code(config, tmp_path):
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["auto_map"] == AUTO_MAP
    for target in AUTO_MAP.values():
        assert (tmp_path / f"{target.split('.')[0]}.py").exists()
    assert (tmp_path / "masking_ssast.py").exists()


@pytest.mark.compatibility
def test_round_trip_and_equality(config, tmp_path):
    config.save_pretrained(tmp_path)
    loaded = SSASTConfig.from_pretrained(tmp_path)
    assert loaded.max_length == 64
    assert loaded == SSASTConfig.from_pretrained(tmp_path)
    fields = [name for name in inspect.signature(SSASTConfig.__init__).parameters if name not in ("self", "kwargs")]
    assert {name: getattr(loaded, name) for name in fields} == {name: getattr(config, name) for name in fields}
    loaded.num_masked_patches = 3
    assert loaded != config
