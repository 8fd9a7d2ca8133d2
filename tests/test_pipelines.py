"""Calls that others make: transformers' pipelines, its example scripts, `datasets`."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForCTC,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    Wav2Vec2CTCTokenizer,
    pipeline,
)

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForCTC


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32)


def melody(seconds: float, seed: int) -> np.ndarray:
    """A tone of another pitch every 80 ms."""
    pitches = np.random.default_rng(seed).uniform(200, 7000, int(seconds / 0.08) + 1)
    phase = 2 * np.pi * np.cumsum(np.repeat(pitches, 1280)) / 16000
    return (0.5 * np.sin(phase[: int(16000 * seconds)])).astype(np.float32)


@pytest.fixture
def pretrained(model, tmp_path):
    folder = tmp_path / "pretrained"
    model.save_pretrained(folder)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64, mean=-5.0, min_frames=8).save_pretrained(folder)
    return folder


# --- speech recognition ------------------------------------------------------------------------------------------


@pytest.fixture
def recogniser(tmp_path):
    """A folder whose model writes a character for each pitch, whatever is to be heard before and after."""
    config = SSASTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        patch_size=[32, 2],
        num_mel_bins=32,
        max_length=64,
        vocab_size=12,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = SSASTForCTC(config)
    with torch.no_grad():
        model.base_model.embeddings.position_embeddings.zero_()
        model.base_model.encoder.layer[0].attention.output.dense.weight.zero_()
        model.base_model.embeddings.patch_embeddings.projection.weight.normal_()
        model.ctc_head.weight.normal_()
    model.save_pretrained(tmp_path / "recogniser")
    SSASTFeatureExtractor(
        num_mel_bins=32, max_length=64, padding="longest", truncation=False, return_attention_mask=True
    ).save_pretrained(tmp_path / "recogniser")
    vocabulary = {name: i for i, name in enumerate(["<pad>", "|", "<unk>", *"abcdefghi"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), pad_token="<pad>", bos_token=None, eos_token=None)
    tokenizer.save_pretrained(tmp_path / "recogniser")
    return tmp_path / "recogniser"


@pytest.mark.compatibility
def test_chunks_give_the_text_of_the_whole_recording(recogniser):
    transcribe = pipeline("automatic-speech-recognition", model=str(recogniser))
    clips = [melody(3.3, 1), melody(1.21, 2)]
    whole = [transcribe(clip.copy())["text"] for clip in clips]
    assert len(set(whole[0])) > 3
    for options in ({"chunk_length_s": 1.0}, {"chunk_length_s": 1.5, "stride_length_s": 0.2, "batch_size": 3}):
        chunked = transcribe([clip.copy() for clip in clips], **options)
        assert [each["text"] for each in chunked] == whole
    # Together they are padded.
    assert [each["text"] for each in transcribe([clip.copy() for clip in clips], batch_size=2)] == whole


@pytest.mark.compatibility
def test_characters_have_times(recogniser):
    transcribe = pipeline("automatic-speech-recognition", model=str(recogniser))
    chunks = transcribe(melody(2.0, 3), return_timestamps="char")["chunks"]
    times = [chunk["timestamp"] for chunk in chunks]
    assert times[0][0] < 0.5
    assert 1.5 < times[-1][1] <= 2.0
    model = AutoModelForCTC.from_pretrained(recogniser)
    assert model.get_output_embeddings() is None  # or transformers would tie it


# --- transformers' run_audio_classification.py -------------------------------------------------------------------


@pytest.mark.compatibility
def test_calls_of_the_audio_classification_script(pretrained, tmp_path):
    labels = ["rain", "dog"]
    rows = [{"audio": {"array": noise(0.5 + i / 10, i), "sampling_rate": 16000}, "label": i % 2} for i in range(4)]
    features = AutoFeatureExtractor.from_pretrained(pretrained, return_attention_mask=True)
    name = features.model_input_names[0]

    def transform(batch):
        waves = [audio["array"][:8000] for audio in batch["audio"]]
        inputs = features(waves, sampling_rate=features.sampling_rate)
        return {name: inputs.get(name), "labels": list(batch["label"])}

    dataset = Dataset.from_list(rows)
    dataset.set_transform(transform, output_all_columns=False)
    config = AutoConfig.from_pretrained(
        pretrained,
        num_labels=len(labels),
        label2id={label: str(i) for i, label in enumerate(labels)},
        id2label={str(i): label for i, label in enumerate(labels)},
        finetuning_task="audio-classification",
    )
    model = AutoModelForAudioClassification.from_pretrained(pretrained, config=config, ignore_mismatched_sizes=False)
    model.freeze_feature_encoder()
    arguments = TrainingArguments(
        str(tmp_path / "trained"),
        remove_unused_columns=False,
        max_steps=2,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        eval_dataset=dataset,
        compute_metrics=lambda result: {"accuracy": (result.predictions.argmax(1) == result.label_ids).mean()},
        processing_class=features,
    )
    trainer.train()
    trainer.save_model()
    assert 0 <= trainer.evaluate()["eval_accuracy"] <= 1
    classify = pipeline("audio-classification", model=str(tmp_path / "trained"))
    # The script passes on features without their mask; what is padded is not heard in training, either.
    logits = torch.from_numpy(trainer.predict(dataset).predictions)
    for row, expected in zip(rows, logits.softmax(dim=-1), strict=True):
        said = {each["label"]: each["score"] for each in classify(np.array(row["audio"]["array"][:8000]))}
        assert said == pytest.approx(dict(zip(labels, expected.tolist(), strict=True)), abs=1e-5)


@pytest.mark.compatibility
def test_clips_are_padded_by_the_collator_as_by_the_feature_extractor():
    features = SSASTFeatureExtractor(num_mel_bins=32, max_length=64, mean=-5.0, return_attention_mask=True)
    clips = [noise(0.5), noise(0.3), noise(0.4)]
    each = [features(clip, sampling_rate=16000, padding=False) for clip in clips]
    items = [{name: values[0] for name, values in inputs.items()} for inputs in each]
    batch = DataCollatorWithPadding(features)([item | {"labels": i} for i, item in enumerate(items)])
    expected = features(clips, sampling_rate=16000, padding="longest", return_tensors="pt")
    torch.testing.assert_close(batch["input_values"], expected["input_values"])
    assert torch.equal(batch["attention_mask"].long(), expected["attention_mask"])
    assert batch["labels"].tolist() == [0, 1, 2]


# --- datasets ----------------------------------------------------------------------------------------------------


class Decoder:
    """As `datasets` has them in a column of audio, when torchcodec is there."""

    def __init__(self, audio, sampling_rate=16000):
        self.audio, self.sampling_rate = audio, sampling_rate

    def get_all_samples(self):
        class Samples:
            data, sample_rate = torch.as_tensor(self.audio).reshape(-1, len(self.audio.T)), self.sampling_rate

        return Samples


def test_what_datasets_hands_out():
    features = SSASTFeatureExtractor(num_mel_bins=32, max_length=64)
    clips = [noise(0.3, 0), noise(0.5, 1)]
    expected = features(clips, sampling_rate=16000, return_tensors="pt")["input_values"]
    rows = [{"array": clip, "sampling_rate": 16000, "path": "a.wav"} for clip in clips]
    for given in (rows, [Decoder(clip) for clip in clips], [Decoder(np.stack((clip, clip))) for clip in clips]):
        for options in ({}, {"sampling_rate": 16000}):
            assert torch.equal(features(given, return_tensors="pt", **options)["input_values"], expected)
    assert torch.equal(features(rows[1], return_tensors="pt")["input_values"], expected[1:])
    assert torch.equal(features(Decoder(clips[0]), return_tensors="pt")["input_values"], expected[:1])
    listed = [row | {"array": row["array"].tolist()} for row in rows]  # as JSON has it
    torch.testing.assert_close(features(listed, return_tensors="pt")["input_values"], expected)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"array": noise(0.5), "sampling_rate": 8000}, "Clip 1 has a sampling rate of 8000 Hz, expected 16000 Hz"),
        (Decoder(noise(0.5), 44100), "Clip 1 has a sampling rate of 44100 Hz"),
        ({"bytes": b"", "path": "a.wav"}, "Clip 1 is a dictionary with 'bytes', 'path'; expected 'array'"),
    ],
)
def test_what_datasets_should_have_decoded_otherwise(clip, message):
    features = SSASTFeatureExtractor(num_mel_bins=32, max_length=64)
    with pytest.raises(ValueError, match=message):
        features([{"array": noise(0.5), "sampling_rate": 16000}, clip], return_tensors="pt")


def test_padding_and_truncation_are_stored(tmp_path):
    stored = {"padding": "longest", "truncation": False}
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64, **stored).save_pretrained(tmp_path)
    features = SSASTFeatureExtractor.from_pretrained(tmp_path)
    shape = features(noise(2.0), sampling_rate=16000, return_tensors="pt")["input_values"].shape
    assert shape == (1, 198, 32)
    told = features(noise(2.0), sampling_rate=16000, truncation=True, padding="max_length", return_tensors="pt")
    assert told["input_values"].shape == (1, 64, 32)
    with pytest.raises(ValueError, match="padding must be"):
        SSASTFeatureExtractor(padding="zeros")
    with pytest.raises(ValueError, match="truncation must be true or false"):
        SSASTFeatureExtractor(truncation="left")
