"""What a run trains and validates on, as its options say."""

import numpy as np
import pytest
import soundfile

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.training.arguments import DataArguments, RunArguments
from ssast_hf.training.data_sets import count_recordings, make_datasets, without_decoded_files
from ssast_hf.training.recipe import recipe_of


@pytest.fixture
def make(config, tmp_path):
    """Data sets for a model that takes 0.65 seconds, of some options."""

    def make(**options):
        data = DataArguments(**options)
        arguments = RunArguments(output_dir=str(tmp_path / "out"), use_cpu=True, report_to="none")
        extractor = SSASTFeatureExtractor(num_mel_bins=32, max_length=64)
        train, validation = make_datasets(data, arguments, config, extractor)
        return train, validation, recipe_of(data, arguments, train, extractor)

    return make


def noise(path, seconds: float):
    soundfile.write(path, 0.1 * np.random.RandomState(0).randn(round(16000 * seconds)), 16000)
    return str(path)


def test_one_long_file_is_trained_and_validated_on(make, tmp_path, capsys):
    train, validation, recipe = make(train_data=[noise(tmp_path / "long.wav", 60)])
    assert 85 <= len(train) <= 91
    assert len(validation) == 5
    ends = [validation.find(0, i)[-1][0] for i in range(len(validation))]
    assert min(ends) >= 57 * 16000 > max(train.find(0, i)[-1][1] for i in range(len(train))) - 1
    assert count_recordings(train, validation) == 1
    assert (recipe["recordings"], recipe["windows"]) == (1, len(train))
    said = capsys.readouterr().err
    assert f"To train on: 1 recording, 57 s, {len(train)} clips per epoch, in windows of 0.655 s." in said
    assert "the ends of the same recordings" in said


def test_short_clips_are_one_window_each(make, audio_folder):
    for path in sorted(audio_folder.iterdir())[6:]:
        path.unlink()
    train, validation, _ = make(train_data=[str(audio_folder)], validation_fraction=0.3)
    assert (len(train), len(validation)) == (4, 2)
    assert not set(train.stretches.recordings) & set(validation.stretches.recordings)


def test_a_window_longer_than_every_recording_is_told(make, tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    for i in range(3):
        noise(tmp_path / "clips" / f"{i}.wav", 0.3)
    train, validation, _ = make(train_data=[str(tmp_path / "clips")], window_seconds=0.5)
    assert (len(train), len(validation)) == (2, 1)
    assert "--window_seconds 0.5 is longer than every recording, up to 0.3 s" in capsys.readouterr().err


def test_validation_without_any_recording_is_an_error(make, audio_folder, tmp_path):
    (tmp_path / "bad").mkdir()
    noise(tmp_path / "bad" / "short.wav", 0.02)
    with pytest.raises(ValueError, match=r"recordings to validate on can be used: .*short\.wav is too short"):
        make(train_data=[str(audio_folder)], validation_data=[str(tmp_path / "bad")])
    with pytest.raises(ValueError, match="1 recording of this length is too little to train and validate on"):
        make(train_data=[noise(tmp_path / "single.wav", 0.1)])


def test_decoded_recordings_are_gone_when_the_run_ends(tmp_path):
    arguments = RunArguments(output_dir=str(tmp_path / "out"), use_cpu=True, report_to="none")
    (tmp_path / "out" / ".decoded").mkdir(parents=True)
    with without_decoded_files(arguments):
        assert not (tmp_path / "out" / ".decoded").exists()
        (tmp_path / "out" / ".decoded").mkdir()
    assert not (tmp_path / "out" / ".decoded").exists()
