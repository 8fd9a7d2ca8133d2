"""What is taken for one clip, for several, and for a table of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssast_hf.audio.decoding import COLUMNS
from ssast_hf.inference.clips import check_mono, is_batch, is_table, rows_of, to_clip


WAVE = np.linspace(-0.5, 0.5, 800, dtype=np.float32)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(
    "column", [["a.wav", "b.wav"], np.array(["a.wav", "b.wav"]), [WAVE, WAVE], np.stack([WAVE] * 2)]
)
def test_columns_that_hold_audio_elsewhere_do_so_here(name, column):
    table = {name: column, "label": ["dog", "cat"], "tags": [["loud"], []]}
    assert is_table(table)
    assert len(rows_of(table)) == 2


@pytest.mark.parametrize(
    "clip",
    [
        {"path": "a.wav", "tags": ["loud", "near"]},
        {"array": np.stack([WAVE, WAVE]), "sampling_rate": 16000},
        {"bytes": b"", "path": None},
        "a.wav",
        WAVE,
    ],
)
def test_one_clip_is_no_table(clip):
    assert not is_table(clip)
    assert not is_batch(clip)


def test_column_of_rates_is_that_of_the_numbers_beside_it():
    table = {"audio": [WAVE, {"path": "a.wav"}], "sampling_rate": np.array([8000, 44100])}
    assert rows_of(table) == [{"array": WAVE, "sampling_rate": 8000}, {"path": "a.wav"}]
    assert rows_of(table | {"sampling_rate": 8000})[0]["sampling_rate"] == 8000


def test_table_without_audio_names_its_columns():
    with pytest.raises(ValueError, match="The table has the columns 'sound', 'label', none of them audio or wav"):
        rows_of({"sound": ["a.wav"], "label": ["dog"]})


def test_decoder_of_torchcodec_is_a_clip():
    """What a column of audio holds in `datasets` 4, with torchcodec; not installed here."""
    stereo = torch.from_numpy(np.stack([WAVE, -WAVE / 2]))
    decoder = SimpleNamespace(get_all_samples=lambda: SimpleNamespace(data=stereo, sample_rate=16000))
    np.testing.assert_allclose(to_clip(decoder, "Clip 0", 8000, 16000).samples, WAVE / 4, atol=1e-7)


@pytest.mark.parametrize("stereo", [np.stack([WAVE, WAVE]), np.stack([WAVE, WAVE], axis=1), torch.zeros(800, 2)])
def test_stereo_is_not_two_clips(stereo):
    with pytest.raises(ValueError, match="looks like stereo; expected mono"):
        check_mono(stereo)


@pytest.mark.parametrize("clips", [torch.zeros(2, 800), np.stack([WAVE] * 3), [WAVE, WAVE], WAVE, "a.wav"])
def test_what_is_not_stereo_passes(clips):
    check_mono(clips)


def test_clip_that_would_overflow_is_named():
    with pytest.raises(ValueError, match="Clip 7 holds NaN, infinite or absurdly large samples"):
        to_clip(WAVE * 1e20, "Clip 7", 16000, 16000)
