"""Heads: what they compute, what padding and neighbours must not change, and what they refuse."""

import copy

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, ctc_loss, normalize
from transformers import AutoModelForAudioFrameClassification, AutoModelForAudioXVector, AutoModelForCTC

from ssast_hf import (
    SSASTConfig,
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForPretraining,
    SSASTForXVector,
    SSASTModel,
)


CLIP_LABELS = torch.tensor([0, 2, 4])
# A class -> labels for three clips of 64 frames, which are 32 time steps.
LABELS = {
    SSASTForAudioClassification: CLIP_LABELS,
    SSASTForXVector: CLIP_LABELS,
    SSASTForCTC: torch.tensor([[1, 2, 2], [3, 1, -100], [2, -100, -100]]),
    SSASTForAudioFrameClassification: torch.arange(96).view(3, 32) % 5,
}
HEADS = list(LABELS)
POOLED = [SSASTForAudioClassification, SSASTForXVector]
PATCHES = {"patch_size": 8, "frequency_stride": None, "time_stride": None}
LAYERS = {"use_weighted_layer_sum": True, "classifier_proj_size": 24}
MODES = ["mean", "cls", "attentive", "statistics"]
LENGTHS = [64, 41, 20]
# Padding reaches beyond the length that the model is made for, where positions are interpolated.
PADDING = 30


@pytest.fixture
def config():
    """Patches as high as the spectrogram and 2 frames long, so that all heads fit."""
    return SSASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        patch_size=[32, 2],
        num_mel_bins=32,
        max_length=64,
        id2label={i: str(i) for i in range(5)},
        vocab_size=6,
        xvector_output_dim=16,
    )


@pytest.fixture
def attention_mask():
    return (torch.arange(64) < torch.tensor(LENGTHS)[:, None]).long()


def build(model_class, config, **fields):
    """A model whose parameters all differ, attention and layer weights included."""
    torch.manual_seed(0)
    model = model_class(SSASTConfig(**config.to_dict() | fields)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def run(model, *inputs, **options):
    with torch.no_grad():
        return model(*inputs, **options)


# --- all heads ---------------------------------------------------------------------------------------------------


def test_parameter_names_are_frozen(config):
    names = {
        SSASTForAudioClassification: "classifier.layernorm.weight classifier.layernorm.bias classifier.dense.weight "
        "classifier.dense.bias pooling.dense.weight pooling.dense.bias pooling.query",
        SSASTForXVector: "embedding.weight embedding.bias objective.weight objective.steps pooling.dense.weight "
        "pooling.dense.bias pooling.query",
        SSASTForCTC: "ctc_head.weight ctc_head.bias",
        SSASTForAudioFrameClassification: "classifier.weight classifier.bias",
    }
    for model_class, own in names.items():
        model = build(model_class, config, pooling_mode="attentive", **LAYERS)
        found = {name for name in model.state_dict() if not name.startswith("audio_spectrogram_transformer.")}
        assert found == {*own.split(), "layer_weights", "projector.weight", "projector.bias"}
    assert model.layer_weights.shape == (3,)
    assert build(SSASTForXVector, config).objective.weight.shape == (5, 16)
    assert "pooling.query" in build(SSASTForXVector, config).state_dict()
    assert "pooling.query" not in build(SSASTForAudioClassification, config).state_dict()


@pytest.mark.compatibility
@pytest.mark.parametrize(
    ("model_class", "fields"),
    [
        *((model_class, {"pooling_mode": mode}) for model_class in POOLED for mode in MODES),
        *((model_class, LAYERS) for model_class in HEADS),
        *((model_class, {}) for model_class in HEADS[2:]),
        # Patches of a grid, as the bundled model has them, which text has no use for.
        *((model_class, PATCHES) for model_class in HEADS if model_class is not SSASTForCTC),
        (SSASTForAudioClassification, PATCHES | LAYERS | {"pooling_mode": "cls"}),
    ],
)
def test_padding_and_neighbours_do_not_change_a_clip(config, input_values, attention_mask, model_class, fields):
    model = build(model_class, config, **fields)
    together = run(model, input_values, attention_mask)
    for i, length in enumerate(LENGTHS):
        clip = input_values[i : i + 1, :length]
        alone = run(model, clip).logits
        padded = torch.cat((clip, torch.full((1, PADDING, 32), float("nan"))), dim=1)
        more = run(model, padded, (torch.arange(length + PADDING) < length)[None]).logits
        for other in (together.logits[i : i + 1], more):
            steps = alone.shape[1]
            torch.testing.assert_close(other[:, :steps], alone, rtol=0, atol=1e-6)
        if model_class is SSASTForXVector:
            torch.testing.assert_close(together.embeddings[i : i + 1], run(model, clip).embeddings, rtol=0, atol=1e-6)


@pytest.mark.parametrize("fields", [{}, LAYERS])
@pytest.mark.parametrize("model_class", HEADS)
def test_exactly_the_trained_parameters_get_gradients(config, input_values, tmp_path, model_class, fields):
    """Also after loading a pretrained encoder, which makes the head anew."""
    SSASTForPretraining(config).save_pretrained(tmp_path)
    model = model_class.from_pretrained(tmp_path, **fields).train()
    model(input_values, labels=LABELS[model_class]).loss.backward()
    for name, parameter in model.named_parameters():
        is_final_norm = name.startswith("audio_spectrogram_transformer.layernorm.")
        is_unused = "mask_token" in name or (bool(fields) and is_final_norm)
        assert parameter.requires_grad != is_unused, name
        assert (parameter.grad is not None) == parameter.requires_grad, name
    if fields:
        torch.testing.assert_close(model.layer_weights, torch.full((3,), 1 / 3))
    if model_class is SSASTForXVector:
        assert model.objective.steps == 1
        assert model.pooling.query.std() > 0.01


@pytest.mark.parametrize("model_class", HEADS)
def test_what_is_frozen(config, model_class):
    model = build(model_class, config)
    model.freeze_feature_encoder()
    projection = {name for name, parameter in model.named_parameters() if "patch_embeddings" in name}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == projection | {"audio_spectrogram_transformer.embeddings.mask_token"}
    model.freeze_base_model()
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert not any(name.startswith("audio_spectrogram_transformer.") for name in trained)


@pytest.mark.compatibility
@pytest.mark.parametrize(
    ("auto_class", "model_class"),
    [
        (AutoModelForAudioXVector, SSASTForXVector),
        (AutoModelForCTC, SSASTForCTC),
        (AutoModelForAudioFrameClassification, SSASTForAudioFrameClassification),
    ],
)
def test_auto_classes(config, tmp_path, input_values, auto_class, model_class):
    build(SSASTForPretraining, config).save_pretrained(tmp_path / "pretraining")
    model = auto_class.from_pretrained(tmp_path / "pretraining").eval()
    assert type(model) is model_class
    model.save_pretrained(tmp_path / "head")
    again = auto_class.from_pretrained(tmp_path / "head").eval()
    assert torch.equal(run(again, input_values).logits, run(model, input_values).logits)


@pytest.mark.compatibility
def test_a_new_head_leaves_the_weights_of_layers_alone(config, tmp_path):
    model = build(SSASTForXVector, config, use_weighted_layer_sum=True)
    model.save_pretrained(tmp_path)
    other = SSASTForXVector.from_pretrained(
        tmp_path, id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1}, ignore_mismatched_sizes=True
    )
    assert other.objective.weight.shape == (2, 16)
    for name, tensor in model.state_dict().items():
        assert name.startswith("objective.") or torch.equal(other.state_dict()[name], tensor), name


@pytest.mark.slow
def test_compiles_for_shapes_that_change(config):
    torch.compiler.reset()  # forget the shapes of other tests
    model = build(SSASTForXVector, config, num_hidden_layers=1, **LAYERS)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for batch_size, num_frames in ((2, 64), (3, 40)):
        inputs = torch.randn(batch_size, num_frames, 32), torch.ones(batch_size, num_frames)
        torch.testing.assert_close(run(compiled, *inputs).logits, run(model, *inputs).logits)


def test_weighted_sum_of_layers(config, input_values):
    model = build(SSASTForAudioFrameClassification, config, use_weighted_layer_sum=True)
    outputs = run(model, input_values, output_hidden_states=True)
    weights = model.layer_weights.exp() / model.layer_weights.exp().sum()
    tokens = sum(weight * state for weight, state in zip(weights, outputs.hidden_states, strict=True))
    torch.testing.assert_close(outputs.logits, model.classifier(tokens[:, 2:]))
    # What was not asked for is not returned, although it was computed.
    assert "hidden_states" not in run(model, input_values)
    chosen = run(model, input_values, output_hidden_states=[1]).hidden_states
    assert [state is None for state in chosen] == [True, False, True]


def test_a_clip_that_is_too_long_for_the_model_does_not_change_others(config):
    model = build(SSASTForCTC, config)
    lengths = [150, 100, 64, 30]
    attention_mask = (torch.arange(150) < torch.tensor(lengths)[:, None]).long()
    inputs = torch.randn(4, 150, 32)
    together = run(model, inputs, attention_mask).logits
    for i, length in enumerate(lengths):
        alone = run(model, inputs[i : i + 1, :length]).logits
        torch.testing.assert_close(together[i : i + 1, : alone.shape[1]], alone, rtol=0, atol=1e-6)


# --- pooling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("patch_size", [8, [32, 2]])
def test_pooling_of_clips_one_by_one(config, input_values, attention_mask, mode, patch_size):
    config = SSASTConfig(
        **config.to_dict() | {"patch_size": patch_size, "frequency_stride": None, "time_stride": None}
    )
    model = build(SSASTForXVector, config, pooling_mode=mode)
    embeddings = run(model, input_values, attention_mask).embeddings
    for i, length in enumerate(LENGTHS):
        tokens = run(model.base_model, input_values[i : i + 1, :length])
        frames = tokens.frame_hidden_states[0]
        if mode == "cls":
            pooled = tokens.last_hidden_state[0, :2].mean(dim=0)
        elif mode == "attentive":
            fit = torch.stack([model.pooling.dense(frame).tanh() @ model.pooling.query for frame in frames])
            pooled = (frames * (fit.exp() / fit.exp().sum())[:, None]).sum(dim=0)
        elif mode == "statistics":
            pooled = torch.cat((frames.mean(dim=0), frames.std(dim=0, correction=0)))
        else:
            pooled = frames.mean(dim=0)
        torch.testing.assert_close(embeddings[i], model.embedding(pooled), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_one_patch_and_less(config, mode):
    model = build(SSASTForXVector, config, pooling_mode=mode).train()
    outputs = model(torch.randn(2, 2, 32), labels=torch.tensor([0, 1]))
    assert outputs.logits.shape == (2, 5)
    outputs.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
    empty = run(model.eval(), torch.randn(2, 9, 32), torch.zeros(2, 9))
    assert empty.embeddings.isfinite().all()
    torch.testing.assert_close(*empty.embeddings)


# --- speakers ----------------------------------------------------------------------------------------------------


def am_softmax(cosines, labels, margin):
    rows = cosines.clone()
    for row, label in zip(rows, labels.tolist(), strict=True):
        row[label] -= margin
    return cross_entropy(30 * rows, labels)


def test_logits_of_speakers_are_cosines_without_margin(config, input_values):
    model = build(SSASTForXVector, config)
    outputs = run(model, input_values, labels=CLIP_LABELS)
    assert outputs.logits.shape == (3, 5)
    torch.testing.assert_close(outputs.logits, normalize(outputs.embeddings) @ normalize(model.objective.weight).T)
    torch.testing.assert_close(outputs.loss, am_softmax(outputs.logits, CLIP_LABELS, 0.4))
    assert torch.equal(run(model, input_values).logits, outputs.logits)
    assert run(model, input_values, labels=torch.tensor([0, -100, 1])).loss.isfinite()


def test_margin_grows_and_goes_on_where_a_run_ended(config, input_values, tmp_path):
    model = build(SSASTForXVector, config, am_softmax_warmup_steps=4).train()
    losses = [run(model, input_values, labels=CLIP_LABELS).loss for _ in range(2)]
    model.save_pretrained(tmp_path)
    model = SSASTForXVector.from_pretrained(tmp_path).train()
    losses += [run(model, input_values, labels=CLIP_LABELS).loss for _ in range(4)]
    cosines = run(model, input_values).logits
    for loss, margin in zip(losses, (0, 0.1, 0.2, 0.3, 0.4, 0.4), strict=True):
        torch.testing.assert_close(loss, am_softmax(cosines, CLIP_LABELS, margin))
    # Evaluation has the whole margin, and is no step.
    steps = model.objective.steps.clone()
    torch.testing.assert_close(run(model.eval(), input_values, labels=CLIP_LABELS).loss, losses[-1])
    assert model.objective.steps == steps


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 1, 5]), "labels holds 5, but the model has 5 classes"),
        (torch.tensor([0.0, 1.0, 2.0]), "must be class indices"),
        (torch.zeros(3, 5, dtype=torch.long), "must be class indices"),
        (["anna", "bert", "anna"], "got names such as 'anna'"),
    ],
)
def test_labels_that_are_no_speakers(config, input_values, labels, message):
    with pytest.raises(ValueError, match=message):
        build(SSASTForXVector, config)(input_values, labels=labels)


# --- text --------------------------------------------------------------------------------------------------------


def test_ctc_refuses_tokens_that_are_too_coarse(config):
    fields = {"patch_size": 8, "frequency_stride": None, "time_stride": None}
    with pytest.raises(ValueError, match=r"time_stride=8 makes one per 80 ms, which is 12.5 per second"):
        build(SSASTForCTC, config, **fields)
    model = build(SSASTForCTC, config, **fields | {"time_stride": 4})
    with pytest.raises(ValueError, match="Tokens too coarse for CTC: time_stride=5"):
        model.set_input_geometry(time_stride=5)
    assert model.config.time_stride == 4


def test_ctc_needs_a_vocabulary(config):
    with pytest.raises(ValueError, match=r"pass vocab_size=len\(tokenizer\)"):
        build(SSASTForCTC, config, vocab_size=None)
    with pytest.raises(ValueError, match="pad_token_id=6, the blank, is beyond vocab_size=6"):
        build(SSASTForCTC, config, pad_token_id=6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ctc_loss_of_clips_one_by_one(config, input_values, attention_mask, reduction):
    model = build(SSASTForCTC, config, ctc_loss_reduction=reduction, pad_token_id=5)
    labels = LABELS[SSASTForCTC]
    outputs = run(model, input_values, attention_mask, labels=labels)
    losses = []
    for i, length in enumerate(LENGTHS):
        logits, label = run(model, input_values[i : i + 1, :length]).logits, labels[i][labels[i] >= 0]
        steps = torch.tensor([logits.shape[1]])
        loss = ctc_loss(
            logits.log_softmax(2).transpose(0, 1), label, steps, torch.tensor([len(label)]), 5, reduction="sum"
        )
        losses.append(loss / len(label) if reduction == "mean" else loss)
    expected = torch.stack(losses)
    torch.testing.assert_close(outputs.loss, expected.mean() if reduction == "mean" else expected.sum())
    # Blanks are as good as -100.
    padded = labels.masked_fill(labels < 0, 5)
    assert torch.equal(run(model, input_values, attention_mask, labels=padded).loss, outputs.loss)


def test_ctc_says_blank_on_padding(config, input_values, attention_mask):
    model = build(SSASTForCTC, config, pad_token_id=5)
    model.ctc_head.bias.data[5] = -100.0
    said = run(model, input_values, attention_mask).logits.argmax(dim=2)
    for row, length in zip(said, LENGTHS, strict=True):
        assert (row[length // 2 :] == 5).all()
        assert (row[: length // 2] != 5).all()


def test_ctc_learns_in_which_order_sounds_come():
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    config = SSASTConfig(**sizes, patch_size=(32, 2), num_mel_bins=32, max_length=64, vocab_size=4, pad_token_id=0)
    model = SSASTForCTC(config).train()
    sounds, silence = torch.randn(3, 1, 32).expand(-1, 12, -1), torch.zeros(8, 32)

    def recordings(count):
        texts = torch.stack([torch.randperm(3) + 1 for _ in range(count)])
        clips = torch.stack([torch.cat([part for i in text for part in (sounds[i - 1], silence)]) for text in texts])
        return clips + 0.3 * torch.randn(clips.shape), texts

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(200):
        clips, texts = recordings(16)
        model(clips, labels=texts).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    clips, texts = recordings(20)
    with torch.no_grad():
        said = [torch.unique_consecutive(tokens) for tokens in model.eval()(clips).logits.argmax(dim=-1)]
    assert [tokens[tokens != 0].tolist() for tokens in said] == texts.tolist()


@pytest.mark.parametrize("zero_infinity", [True, False])
def test_labels_that_are_longer_than_their_tokens_are_named_and_counted(config, caplog, zero_infinity):
    model = build(SSASTForCTC, config, ctc_zero_infinity=zero_infinity)
    inputs = torch.randn(3, 10, 32)  # five tokens
    # Between two equal characters there has to be a blank.
    fitting = torch.tensor([[1, 2, 3, 4, 5], [1, 1, 2, 1, -100], [1, 1, 1, -100, -100]])
    assert run(model, inputs, labels=fitting).loss.isfinite()
    assert caplog.messages == []
    labels = torch.tensor([[1, 2, 3, 4, 5], [1, 1, 2, 2, -100], [1, 1, 1, -100, -100]])
    loss = run(model, inputs, labels=labels).loss
    (message,) = caplog.messages
    assert "1 of 3 labels of the batch need more tokens than their clips have" in message
    assert "clip 1 (6 for 5); 1 so far" in message
    assert loss.isfinite() == zero_infinity
    assert ("add nothing to the loss" in message) == zero_infinity
    run(model, inputs, labels=labels)
    assert "2 so far" in caplog.messages[1]


def test_padding_between_equal_characters_is_no_blank(config, caplog):
    model = build(SSASTForCTC, config)
    run(model, torch.randn(2, 4, 32), labels=torch.tensor([[1, model.blank, 1], [1, 2, -100]]))  # two tokens each
    (message,) = caplog.messages
    assert "clip 0 (3 for 2); 1 so far" in message


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["abc"], r"labels must be a tensor of characters, got list: pass tokenizer\("),
        (torch.tensor([1, 2]), r"labels must be characters of shape .*got \(2,\) torch.int64"),
        (torch.ones(1, 3), r"got \(1, 3\) torch.float32"),
    ],
)
def test_labels_that_are_no_characters(config, labels, message):
    with pytest.raises(ValueError, match=message):
        build(SSASTForCTC, config)(torch.randn(1, 64, 32), labels=labels)


def test_ctc_tokens_and_samples(config):
    model = build(SSASTForCTC, config, time_stride=1, patch_size=[32, 2])
    assert model.config.inputs_to_logits_ratio == 160
    assert build(SSASTForCTC, config).config.inputs_to_logits_ratio == 320
    for num_frames in (1, 2, 3, 64):
        assert model._get_feat_extract_output_lengths(num_frames) == max(num_frames - 1, 0)
    lengths = model._get_feat_extract_output_lengths(torch.tensor([1, 2, 64]))
    assert lengths.tolist() == [0, 1, 63]
    assert run(model, torch.randn(1, 64, 32)).logits.shape[1] == 63
    with pytest.raises(ValueError, match="labels holds 6, but vocab_size=6"):
        model(torch.randn(1, 64, 32), labels=torch.tensor([[6]]))


# --- events ------------------------------------------------------------------------------------------------------


def test_one_class_per_step(config, input_values, attention_mask):
    model = build(SSASTForAudioFrameClassification, config)
    labels = LABELS[SSASTForAudioFrameClassification].clone()
    labels[:, ::3] = -100
    outputs = run(model, input_values, attention_mask, labels=labels)
    assert outputs.logits.shape == (3, 32, 5)
    rows = [
        (outputs.logits[i, step], labels[i, step])
        for i, length in enumerate(LENGTHS)
        for step in range(length // 2)
        if labels[i, step] >= 0
    ]
    logits, classes = (torch.stack(each) for each in zip(*rows, strict=True))
    torch.testing.assert_close(outputs.loss, cross_entropy(logits, classes))
    nothing = run(model, input_values, labels=torch.full((3, 32), -100))
    assert nothing.loss == 0


def test_events_that_overlap(config, input_values, attention_mask):
    model = build(SSASTForAudioFrameClassification, config)
    labels = torch.rand(3, 32, 5).round()
    outputs = run(model, input_values, attention_mask, labels=labels)
    chosen = attention_mask[:, 1::2].bool()  # each patch is of two frames
    expected = binary_cross_entropy_with_logits(outputs.logits[chosen], labels[chosen])
    torch.testing.assert_close(outputs.loss, expected)
    unknown = labels.masked_fill(~chosen.unsqueeze(2), -100)
    assert run(model, input_values, labels=unknown).loss.isfinite()


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (LABELS[SSASTForAudioFrameClassification], "single_label_classification"),
        (torch.ones(3, 32, 5), "multi_label_classification"),
    ],
)
def test_what_events_were_trained_as_is_remembered(config, input_values, labels, kind):
    model = build(SSASTForAudioFrameClassification, config)
    assert model.config.problem_type is None
    run(model, input_values, labels=labels)
    assert model.config.problem_type == kind


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(3, 31, dtype=torch.long), r"\(3, 32\) or .* = \(3, 32, 5\), got \(3, 31\)"),
        (torch.zeros(3, 32, 4), r"got \(3, 32, 4\)"),
        (torch.full((3, 32), 5), "labels holds 5, but the model has 5 classes"),
        (torch.ones(3, 32), "must be class indices, got torch.float32"),
    ],
)
def test_labels_that_fit_no_steps(config, input_values, labels, message):
    with pytest.raises(ValueError, match=message):
        build(SSASTForAudioFrameClassification, config)(input_values, labels=labels)


# --- the configuration -------------------------------------------------------------------------------------------


def test_fields_of_heads_change_no_encoder(config, input_values):
    model = build(SSASTModel, config)
    other = copy.deepcopy(model)
    for mode in ("attentive", "statistics"):
        other.config.pooling_mode = mode
        assert torch.equal(run(other, input_values).pooler_output, run(model, input_values).pooler_output)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classifier_proj_size", 0),
        ("xvector_output_dim", 1.5),
        ("am_softmax_scale", 0),
        ("am_softmax_margin", -0.1),
        ("am_softmax_warmup_steps", -1),
        ("vocab_size", "many"),
        ("pad_token_id", -1),
        ("final_dropout", 1.0),
        ("event_threshold", 1.5),
        ("ctc_loss_reduction", "none"),
        ("use_weighted_layer_sum", "last"),
    ],
)
def test_out_of_range_value_is_named(field, value):
    with pytest.raises(ValueError, match=field) as error:
        SSASTConfig(**{field: value})
    assert str(value) in str(error.value)
