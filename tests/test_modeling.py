import copy

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForPreTraining

from ssast_hf import SSASTConfig, SSASTForAudioClassification, SSASTForPretraining, SSASTModel
from ssast_hf.modeling_ssast import eager_attention


def small(config, **changes):
    """A configuration with some fields changed."""
    return SSASTConfig(**config.to_dict() | changes)


def mask_for(model, input_values, seed=0):
    with torch.no_grad():
        return model(input_values, generator=torch.Generator().manual_seed(seed)).bool_masked_pos


# --- names on disk -----------------------------------------------------------------------------------------------


def test_parameter_names_are_frozen(config):
    encoder = """
        embeddings.cls_token embeddings.distillation_token embeddings.mask_token embeddings.position_embeddings
        embeddings.patch_embeddings.projection.weight embeddings.patch_embeddings.projection.bias
        layernorm.weight layernorm.bias
    """.split()
    modules = """
        attention.attention.query attention.attention.key attention.attention.value attention.output.dense
        intermediate.dense output.dense layernorm_before layernorm_after
    """.split()
    for layer in range(2):
        encoder += [f"encoder.layer.{layer}.{name}.{kind}" for name in modules for kind in ("weight", "bias")]
    prefixed = {f"audio_spectrogram_transformer.{name}" for name in encoder}
    heads = {
        f"{head}_head.{layer}.{kind}"
        for head in ("discrimination", "reconstruction")
        for layer in ("dense", "out_proj")
        for kind in ("weight", "bias")
    }
    classifier = {f"classifier.{layer}.{kind}" for layer in ("layernorm", "dense") for kind in ("weight", "bias")}
    assert set(SSASTModel(config).state_dict()) == set(encoder)
    assert set(SSASTForPretraining(config).state_dict()) == prefixed | heads
    assert set(SSASTForAudioClassification(config).state_dict()) == prefixed | classifier


# --- encoder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch_size", [16, [32, 2], [8, 4], [4, 16]])
def test_any_patch_shape(config, patch_size):
    config = small(config, patch_size=patch_size, frequency_stride=None, time_stride=None, num_masked_patches=2)
    outputs = SSASTForPretraining(config)(torch.randn(2, 64, 32))
    area = config.patch_shape[0] * config.patch_shape[1]
    assert outputs.reconstruction.shape == (2, config.num_patches, area)
    assert outputs.bool_masked_pos.sum().item() == 4
    outputs.loss.backward()


def test_outputs_of_the_encoder(model, input_values):
    encoder = model.base_model.eval()
    outputs = encoder(input_values, output_hidden_states=True, output_attentions=True)
    assert outputs.last_hidden_state.shape == (3, 34, 32)
    assert [tensor.shape for tensor in outputs.hidden_states] == [(3, 34, 32)] * 3
    assert [tensor.shape for tensor in outputs.attentions] == [(3, 4, 34, 34)] * 2
    torch.testing.assert_close(outputs.attentions[0].sum(dim=-1), torch.ones(3, 4, 34))
    patches = outputs.last_hidden_state[:, 2:]
    torch.testing.assert_close(outputs.pooler_output, patches.mean(dim=1))
    frames = torch.stack([patches[:, [time + 8 * f for f in range(4)]].mean(dim=1) for time in range(8)], dim=1)
    torch.testing.assert_close(outputs.frame_hidden_states, frames)
    encoder.config.pooling_mode = "cls"
    torch.testing.assert_close(encoder(input_values).pooler_output, outputs.last_hidden_state[:, :2].mean(dim=1))


def test_tuple_output(model, input_values):
    outputs = model.base_model(input_values, return_dict=False)
    assert isinstance(outputs, tuple)
    assert [tensor.shape for tensor in outputs] == [(3, 34, 32), (3, 32), (3, 8, 32)]
    loss, *_ = model(input_values, return_dict=False)
    assert loss.ndim == 0


def test_flags_of_the_configuration(config, input_values):
    config = small(config, output_hidden_states=True)
    assert len(SSASTModel(config)(input_values).hidden_states) == 3
    assert SSASTModel(config)(input_values, output_hidden_states=False).hidden_states is None


@pytest.fixture
def no_kernels():
    """transformers compiles flex attention into machine code, which takes many times longer than to compute it."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.mark.compatibility
@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize("implementation", ["sdpa", "flex_attention"])
def test_attention_implementations_agree(model, input_values, implementation):
    model.eval()
    mask = mask_for(model, input_values)
    losses = {}
    for name in ("eager", implementation):
        model.set_attn_implementation(name)
        with torch.no_grad():
            losses[name] = model(input_values, bool_masked_pos=mask).loss
    assert model.base_model.encoder.layer[0].attention.attention.config._attn_implementation == implementation
    torch.testing.assert_close(losses[implementation], losses["eager"], rtol=1e-5, atol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_eager_attention_in_half_precision_is_near_float32(dtype, tolerance):
    # Heads of 24 dimensions, so that the scaling rounds, and padding at the end.
    query, key, value = torch.randn(3, 2, 4, 30, 24, generator=torch.Generator().manual_seed(0))
    attended = (torch.arange(30) < 22)[None, None, None]
    expected = scaled_dot_product_attention(query, key, value, attended).transpose(1, 2)
    half = [values.to(dtype) for values in (query, key, value)]
    context, probabilities = eager_attention(torch.nn.Module(), *half, attended, scaling=24**-0.5)
    assert context.dtype == probabilities.dtype == dtype
    assert probabilities[..., 22:].abs().max() == 0
    torch.testing.assert_close(context.float(), expected, rtol=0, atol=tolerance)


@pytest.mark.compatibility
@pytest.mark.usefixtures("no_kernels")
@torch.no_grad()  # PyTorch has no gradient of it on a processor
def test_flex_attention_takes_an_attention_mask_where_transformers_makes_one(config, input_values):
    # With a decoder, which has masks of its own.
    model = SSASTForPretraining(small(config, decoder_num_hidden_layers=1)).eval()
    attention_mask = (torch.arange(64) < torch.tensor([64, 40, 24])[:, None]).long()
    mask = model.draw_mask(input_values, attention_mask, torch.Generator().manual_seed(0))
    expected = model(input_values, attention_mask, mask).loss
    model.set_attn_implementation("flex_attention")
    if Version(transformers.__version__).release < (5, 0):
        with pytest.raises(ValueError, match=r"'flex_attention' in this version of transformers. Use \"sdpa\""):
            model(input_values, attention_mask, mask)
    else:
        torch.testing.assert_close(model(input_values, attention_mask, mask).loss, expected, rtol=1e-5, atol=0)
        # Probabilities are computed eagerly, whatever the implementation is.
        outputs = model(input_values, attention_mask, mask, output_attentions=True)
        torch.testing.assert_close(outputs.loss, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("wanted", [1, [0, 2], [-1], [7]])
def test_hidden_states_of_some_layers(model, input_values, wanted):
    all_states = model.base_model(input_values, output_hidden_states=True).hidden_states
    states = model.base_model(input_values, output_hidden_states=wanted).hidden_states
    indices = {index % 3 for index in ([wanted] if isinstance(wanted, int) else wanted) if index < 3}
    assert [i for i, state in enumerate(states or ()) if state is not None] == sorted(indices)
    assert all(torch.equal(states[i], all_states[i]) for i in indices)


@pytest.mark.parametrize("padding", [3.0, 1e30, float("nan")])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_padding_does_not_matter_with_an_attention_mask(model, input_values, implementation, padding):
    """A clip of 40 frames, and the same clip padded to 64 with anything."""
    model.eval().set_attn_implementation(implementation)
    short = input_values[:, :43]  # the last three frames make no whole patch
    padded = torch.cat((short, torch.full((3, 21, 32), padding)), dim=1)
    attention_mask = (torch.arange(64) < 43).long().expand(3, -1)
    a = model.base_model(short)
    b = model.base_model(padded, attention_mask=attention_mask)
    torch.testing.assert_close(b.pooler_output, a.pooler_output, rtol=0, atol=1e-5)
    torch.testing.assert_close(b.frame_hidden_states[:, :5], a.frame_hidden_states, rtol=0, atol=1e-5)

    mask = mask_for(model, short)
    padded_mask = torch.ones(3, 4, 8, dtype=torch.bool)  # masking padding has to be without effect
    padded_mask[:, :, :5] = mask.view(3, 4, 5)
    a = model(short, bool_masked_pos=mask)
    b = model(padded, attention_mask=attention_mask, bool_masked_pos=padded_mask.flatten(1))
    for name in ("loss", "discriminative_loss", "generative_loss", "accuracy"):
        torch.testing.assert_close(b[name], a[name], rtol=1e-5, atol=1e-6)
    assert b.bool_masked_pos.sum() == a.bool_masked_pos.sum()
    b.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_without_attention_mask_padding_is_input(model, input_values):
    padded = torch.cat((input_values[:, :40], torch.zeros(3, 24, 32)), dim=1)
    model.eval()
    difference = model.base_model(padded).pooler_output - model.base_model(input_values[:, :40]).pooler_output
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("num_frames", [8, 9, 30, 63, 64, 65, 100, 500])
def test_any_number_of_frames(model, num_frames):
    outputs = model(torch.randn(2, num_frames, 32))
    assert outputs.bool_masked_pos.shape == (2, 4 * (num_frames // 8))
    assert outputs.bool_masked_pos.sum(dim=1).tolist() == [round(20 * (num_frames // 8) / 8)] * 2
    assert outputs.loss.isfinite()
    outputs.loss.backward()


def test_fewer_frames_use_the_first_positions_and_more_interpolate(model):
    embeddings = model.base_model.embeddings
    grid = embeddings.position_embeddings[0, 2:].view(4, 8, 32)
    short = embeddings.positions(24)[0, 2:].view(4, 3, 32)
    assert torch.equal(short, grid[:, :3])
    long = embeddings.positions(128)[0, 2:].view(4, 16, 32)
    torch.testing.assert_close(long[:, 1], 0.75 * grid[:, 0] + 0.25 * grid[:, 1])
    assert torch.equal(embeddings.positions(128)[0, :2], embeddings.position_embeddings[0, :2])


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 7, 32), "7 frames"), ((2, 64, 31), r"\(batch_size, num_frames, 32\)"), ((64, 32), r"got \(64, 32\)")],
)
def test_impossible_inputs(model, shape, message):
    with pytest.raises(ValueError, match=message):
        model(torch.randn(shape))


def test_misshapen_masks(model, input_values):
    with pytest.raises(ValueError, match=r"\(3, 32\), got \(3, 31\)"):
        model(input_values, bool_masked_pos=torch.ones(3, 31, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\(3, 64\), got \(3, 8\)"):
        model(input_values, attention_mask=torch.ones(3, 8))


# --- pretraining -------------------------------------------------------------------------------------------------


def naive_losses(model, input_values, mask, axis):
    """The two losses and the accuracy as the paper tells them, clip by clip, for data without duplicates."""
    hidden = model.base_model(input_values, bool_masked_pos=mask).last_hidden_state[:, 2:]
    info_nce, errors, correct = [], [], []
    for clip in range(len(input_values)):
        spectrogram, targets = input_values[clip].T, []
        for frequency in range(4):
            for time in range(input_values.shape[1] // 8):
                targets.append(spectrogram[frequency * 8 : frequency * 8 + 8, time * 8 : time * 8 + 8].flatten())
        chosen = mask[clip].nonzero()[:, 0]
        targets = torch.stack(targets)[chosen]
        similarity = targets @ model.discrimination_head(hidden[clip, chosen]).T
        info_nce += list(-similarity.log_softmax(dim=axis).diagonal())
        correct += list(similarity.softmax(dim=1).argmax(dim=0) == torch.arange(len(chosen)))
        errors += list((model.reconstruction_head(hidden[clip, chosen]) - targets).square().flatten())
    return torch.stack(info_nce).mean(), torch.stack(errors).mean(), torch.stack(correct).float().mean()


def test_mask_may_be_of_integers_and_not_of_fractions(model, input_values):
    mask = torch.arange(3 * 32).reshape(3, 32) % 2
    for forward in (model, model.base_model):
        assert torch.equal(
            forward(input_values, bool_masked_pos=mask)[0], forward(input_values, bool_masked_pos=mask.bool())[0]
        )
        with pytest.raises(ValueError, match=r"bool_masked_pos must be of torch.bool, True = masked; got torch.float"):
            forward(input_values, bool_masked_pos=mask.float())


def test_nan_in_an_attention_mask_is_refused(model, input_values):
    attention_mask = torch.ones(3, 64)
    assert model(input_values, attention_mask=attention_mask).loss.isfinite()
    attention_mask[1, 5] = torch.nan
    with pytest.raises(ValueError, match="attention_mask holds NaN"):
        model(input_values, attention_mask=attention_mask)


def test_unknown_objective_is_refused_also_when_set_later(model, input_values):
    model.config.objective = "both"
    with pytest.raises(ValueError, match="objective must be one of joint, discriminative, generative; got 'both'"):
        model(input_values)


@pytest.mark.parametrize(("contrastive_axis", "axis"), [("predictions", 1), ("targets", 0)])
def test_losses_match_a_loop_over_clips(model, input_values, contrastive_axis, axis):
    model.config.contrastive_axis = contrastive_axis
    mask = torch.rand(3, 32, generator=torch.Generator().manual_seed(2)) < torch.tensor([[0.9], [0.5], [0.1]])
    outputs = model(input_values, bool_masked_pos=mask)
    discriminative_loss, generative_loss, accuracy = naive_losses(model, input_values, mask, axis)
    torch.testing.assert_close(outputs.discriminative_loss, discriminative_loss)
    torch.testing.assert_close(outputs.generative_loss, generative_loss)
    torch.testing.assert_close(outputs.accuracy, accuracy)
    torch.testing.assert_close(outputs.loss, discriminative_loss + 10 * generative_loss)


def test_reconstruction_is_zero_where_not_masked(model, input_values):
    outputs = model(input_values)
    assert outputs.reconstruction.shape == (3, 32, 64)
    assert torch.equal(outputs.reconstruction.abs().sum(dim=2) > 0, outputs.bool_masked_pos)


def test_masked_content_does_not_reach_the_encoder(model, input_values):
    model.eval()
    mask = mask_for(model, input_values)
    changed = input_values.clone()
    changed.unfold(1, 8, 8).unfold(2, 8, 8).transpose(1, 2)[mask.view(3, 4, 8)] += 5  # views into `changed`
    assert not torch.equal(changed, input_values)
    before, after = (model.base_model(x, bool_masked_pos=mask).last_hidden_state for x in (input_values, changed))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_same_generator_same_mask(model, input_values):
    first, second = (mask_for(model, input_values, seed=5) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, mask_for(model, input_values, seed=6))


def test_silent_padding_is_not_told_apart_but_does_not_count_either(model, input_values):
    """Of eight identical masked patches each has only itself left, so they add exactly nothing to the loss."""
    mask = torch.zeros(1, 32, dtype=torch.bool)
    mask[0, [7, 15, 23, 31]] = True  # the last column
    clip = input_values[:1].clone()
    clip[:, 56:] = 0.467
    assert model(clip, bool_masked_pos=mask).discriminative_loss.item() == pytest.approx(0, abs=1e-6)
    model.config.exclude_duplicate_negatives = False
    assert model(clip, bool_masked_pos=mask).discriminative_loss.item() > 1


def test_data_without_duplicates_are_unchanged_by_their_exclusion(model, input_values):
    mask = mask_for(model, input_values)
    with_exclusion = model(input_values, bool_masked_pos=mask).loss
    model.config.exclude_duplicate_negatives = False
    assert torch.equal(model(input_values, bool_masked_pos=mask).loss, with_exclusion)


def test_clip_of_padding_alone_adds_nothing(model, input_values):
    attention_mask = torch.ones(3, 64)
    attention_mask[1] = 0
    outputs = model(input_values, attention_mask=attention_mask)
    assert outputs.bool_masked_pos.sum(dim=1).tolist() == [20, 0, 20]
    outputs.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("pooling_mode", ["mean", "cls"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_clips_below_one_patch_pool_to_something_finite(model, input_values, pooling_mode, implementation, caplog):
    model.eval().set_attn_implementation(implementation)
    model.config.pooling_mode = pooling_mode
    attention_mask = (torch.arange(64) < torch.tensor([64, 7, 0])[:, None]).long()
    model.base_model(input_values, attention_mask[:1].expand(3, -1))
    assert caplog.messages == []
    outputs = model.base_model(input_values, attention_mask)
    (message,) = caplog.messages
    assert "nothing is left of clip 1, 2 of the batch: one patch takes 8 frames" in message
    assert all(outputs[name].isfinite().all() for name in ("pooler_output", "frame_hidden_states"))
    torch.testing.assert_close(outputs.pooler_output[1], outputs.pooler_output[2])
    if pooling_mode == "mean":
        assert torch.equal(outputs.pooler_output[1], torch.zeros(32))


@pytest.mark.parametrize(
    ("objective", "frozen"),
    [("joint", ()), ("discriminative", ("reconstruction_head",)), ("generative", ("discrimination_head",))],
)
def test_exactly_the_trained_parameters_get_gradients(config, input_values, tmp_path, objective, frozen):
    """Also after loading, which may make parameters anew."""
    SSASTForPretraining(small(config, objective=objective)).save_pretrained(tmp_path)
    model = SSASTForPretraining.from_pretrained(tmp_path).train()
    outputs = model(input_values)
    outputs.loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen or ("-",)))
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert outputs.discriminative_loss.requires_grad == (objective != "generative")
    assert outputs.generative_loss.requires_grad == (objective != "discriminative")
    assert outputs.discriminative_loss > 0
    assert outputs.generative_loss > 0


def test_one_step_changes_every_parameter(model, input_values):
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model(input_values).loss.backward()
    optimizer.step()
    assert [name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])] == []


@pytest.mark.compatibility
def test_gradient_checkpointing_changes_no_gradient(model, input_values):
    mask = mask_for(model, input_values)
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        model(input_values, bool_masked_pos=mask).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert model.is_gradient_checkpointing
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain, rtol=0, atol=0)


@pytest.mark.compatibility
@pytest.mark.parametrize("num_decoder_layers", [0, 1])
def test_compiles_once_for_whatever_is_padded(config, input_values, num_decoder_layers):
    """A step is one graph, with its backward pass, and the shapes in it depend on the configuration alone."""
    model = SSASTForPretraining(small(config, num_hidden_layers=1, decoder_num_hidden_layers=num_decoder_layers))
    compiled, counter = compiled_and_counter(model, "aot_eager")
    for seed in range(20):
        lengths = torch.randint(8, 65, (3, 1), generator=torch.Generator().manual_seed(seed))
        attention_mask = (torch.arange(64) < lengths).long()
        torch.manual_seed(seed)
        loss = compiled(input_values, attention_mask).loss
        loss.backward()
        torch.manual_seed(seed)
        torch.testing.assert_close(loss, model(input_values, attention_mask).loss)
    assert counter.frame_count == 1


def compiled_and_counter(model, backend: str):
    """A compiled model that must not break into pieces, and what counts how often it is compiled."""
    torch.compiler.reset()
    counter = CompileCounterWithBackend(backend)
    return torch.compile(model, fullgraph=True, backend=counter), counter


@pytest.mark.slow
def test_compiles_for_shapes_that_change(config):
    model = SSASTForPretraining(small(config, num_hidden_layers=1))
    compiled, _ = compiled_and_counter(model, "eager")
    for batch_size, num_frames in ((2, 64), (3, 40), (4, 100)):
        outputs = compiled(torch.randn(batch_size, num_frames, 32))
        assert outputs.bool_masked_pos.shape == (batch_size, 4 * (num_frames // 8))


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16(model, input_values, autocast):
    mask = mask_for(model, input_values)
    expected = model(input_values, bool_masked_pos=mask)
    if not autocast:
        model = model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs = model(input_values, bool_masked_pos=mask)
    assert outputs.loss.dtype == torch.float32
    assert outputs.reconstruction.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.loss, expected.loss, rtol=0.02, atol=0)
    outputs.loss.backward()


@pytest.mark.parametrize("dropout", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_dropout_acts_in_training_only(config, input_values, dropout):
    torch.manual_seed(0)
    model = SSASTModel(small(config, **{dropout: 0.5}))
    states = [model.train()(input_values).last_hidden_state for _ in range(2)]
    assert not torch.equal(*states)
    states = [model.eval()(input_values).last_hidden_state for _ in range(2)]
    assert torch.equal(*states)


# --- geometry ----------------------------------------------------------------------------------------------------


def test_input_geometry_is_adapted_for_good(model, tmp_path):
    grid = model.base_model.embeddings.position_embeddings[0, 2:].view(4, 8, 32).detach().clone()
    model.set_input_geometry(max_length=32)
    assert model.config.max_length == 32
    assert model.config.num_masked_patches == 10
    cut = model.base_model.embeddings.position_embeddings
    assert isinstance(cut, torch.nn.Parameter)
    assert torch.equal(cut[0, 2:].view(4, 4, 32), grid[:, 2:6])  # around the centre: 8 // 2 - 4 // 2
    model.set_input_geometry(frequency_stride=4, time_stride=2)
    assert model.config.grid_shape == (7, 13)
    outputs = model(torch.randn(2, 32, 32))
    assert outputs.reconstruction.shape == (2, 91, 64)
    outputs.loss.backward()
    model.save_pretrained(tmp_path)
    loaded = SSASTForPretraining.from_pretrained(tmp_path)
    assert torch.equal(
        loaded.base_model.embeddings.position_embeddings, model.base_model.embeddings.position_embeddings
    )
    assert loaded.config.grid_shape == (7, 13)


def test_impossible_geometry_leaves_the_model_alone(model):
    before = copy.deepcopy(model.state_dict()), model.config.to_dict()
    for arguments, message in (
        ({"max_length": 4}, "larger than the input"),
        ({"time_stride": 0}, "time_stride must be a positive integer, got 0"),
        ({"max_length": 8, "frequency_stride": 32}, "hold a single patch"),
    ):
        with pytest.raises(ValueError, match=message):
            model.set_input_geometry(**arguments)
    assert model.config.to_dict() == before[1]
    assert all(torch.equal(tensor, before[0][name]) for name, tensor in model.state_dict().items())


# --- classification ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_labels", "labels", "loss"),
    [
        (3, torch.tensor([0, 2, 1]), torch.nn.functional.cross_entropy),
        (3, torch.tensor([[0.0, 1, 1]] * 3), torch.nn.functional.binary_cross_entropy_with_logits),
        (1, torch.tensor([[0.5], [1.0], [2.0]]), torch.nn.functional.mse_loss),
    ],
)
def test_classification_loss(config, input_values, tmp_path, num_labels, labels, loss):
    config = small(config, id2label={i: str(i) for i in range(num_labels)})
    SSASTForAudioClassification(config).save_pretrained(tmp_path)
    model = SSASTForAudioClassification.from_pretrained(tmp_path)
    outputs = model(input_values, labels=labels)
    assert outputs.logits.shape == (3, num_labels)
    torch.testing.assert_close(outputs.loss, loss(outputs.logits, labels))
    outputs.loss.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.compatibility
def test_fresh_parts_do_not_disturb_loaded_ones(model, tmp_path):
    """Pretraining weights in a classifier, and a base model in a pretraining model: only what is missing is new."""
    model.save_pretrained(tmp_path / "pretraining")
    classifier = SSASTForAudioClassification.from_pretrained(tmp_path / "pretraining")
    model.base_model.save_pretrained(tmp_path / "base")
    pretraining = AutoModelForPreTraining.from_pretrained(tmp_path / "base")
    for other in (classifier, pretraining):
        for name, tensor in model.base_model.state_dict().items():
            assert torch.equal(other.base_model.state_dict()[name], tensor), name
    assert 0.01 < classifier.classifier.dense.weight.std() < 0.03
    assert not torch.equal(pretraining.reconstruction_head.dense.weight, model.reconstruction_head.dense.weight)


def test_out_of_range_override_is_refused_when_loading(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="num_masked_patches=32"):
        SSASTForPretraining.from_pretrained(tmp_path, num_masked_patches=32)


def test_fresh_models_are_initialised_as_the_original_is(config):
    embeddings = SSASTModel(small(config, hidden_size=256)).embeddings
    assert embeddings.mask_token.std().item() == pytest.approx(1 / np.sqrt(256), rel=0.2)
    assert embeddings.position_embeddings.std().item() == pytest.approx(0.02, rel=0.1)


# --- export ------------------------------------------------------------------------------------------------------


def test_exported_encoder_takes_any_number_of_clips(model, input_values):
    encoder = model.base_model.eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(encoder, (input_values,), dynamic_shapes={"input_values": {0: batch}}).module()
    for clips in (input_values[:1], input_values.repeat(3, 1, 1)):
        expected = encoder(clips).last_hidden_state
        torch.testing.assert_close(exported(clips).last_hidden_state, expected, rtol=0, atol=1e-5)
