"""Hostile and damaged audio files: one ValueError each, that names the file, and no more memory than they deserve."""

import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.audio import load_audio
from ssast_hf.audio.audio_datasets import AudioDataset
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.decoding import BLOCK
from ssast_hf.audio.recordings import load_recordings


@pytest.fixture
def cropper():
    return Cropper(SSASTFeatureExtractor(max_length=50), min_frames=16, seed=3)


def write_wav(path, rate=16000, channels=1, num_bytes=32000):
    """A WAV file of 16 bits whose header claims what it is told to."""
    size = min(2 * channels, 65535)
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, min(rate * size, 2**32 - 1), size, 16)
    content = b"WAVE" + header + struct.pack("<4sI", b"data", num_bytes) + bytes(num_bytes)
    path.write_bytes(struct.pack("<4sI", b"RIFF", len(content)) + content)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"rate": 0}, "no readable audio"),
        ({"rate": 99}, "sampling rate of 99 Hz; expected 100 to 1000000"),
        ({"rate": 10**9}, "1000000000 Hz"),
        ({"channels": 65}, "65 channels; expected at most 64"),
        ({"channels": 1024}, "1024 channels"),
        ({"channels": 0}, "no readable audio"),
        ({"channels": 65535}, "no readable audio"),
    ],
)
def test_absurd_headers_are_refused(claims, message, cropper, tmp_path):
    write_wav(tmp_path / "absurd.wav", **claims)
    with pytest.raises(ValueError, match=rf"absurd\.wav .*{message}"):
        load_audio(tmp_path / "absurd.wav")
    write_wav(tmp_path / "good.wav")
    dataset = AudioDataset(load_recordings(str(tmp_path)), cropper)
    ((name, reason),) = set(dataset[0]["skipped"])
    assert name == str(tmp_path / "absurd.wav")
    assert name in reason


@pytest.mark.parametrize("claims", [{"rate": 100}, {"rate": 10**6}, {"channels": 64}])
def test_the_limits_themselves_are_read(claims, tmp_path):
    write_wav(tmp_path / "x.wav", **claims)
    frames = 16000 // claims.get("channels", 1)
    assert len(load_audio(tmp_path / "x.wav")) == frames * 16000 // claims.get("rate", 16000)


def test_memory_is_not_taken_on_a_headers_word(tmp_path):
    soundfile.write(tmp_path / "long.flac", np.zeros((16000, 8)), 16000)
    content = bytearray((tmp_path / "long.flac").read_bytes())
    content[21:26] = bytes([content[21] & 0xF0 | 0x7, 0xFF, 0xFF, 0xFF, 0xFF])  # the 36 bits of the number of samples
    (tmp_path / "long.flac").write_bytes(content)
    with soundfile.SoundFile(tmp_path / "long.flac") as sound:
        assert sound.frames == 2**35 - 1
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"long\.flac"):
            load_audio(tmp_path / "long.flac")
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2 * 4 * BLOCK


def test_blocks_join_without_a_seam(tmp_path, monkeypatch):
    audio = np.random.RandomState(0).randn(1000, 3).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", audio, 16000, subtype="FLOAT")
    monkeypatch.setattr("ssast_hf.audio.decoding.BLOCK", 100)
    np.testing.assert_array_equal(load_audio(tmp_path / "x.wav"), audio.mean(axis=1))


def test_a_headerless_file_is_refused(tmp_path):
    (tmp_path / "x.raw").write_bytes(bytes(1000))  # soundfile raises a TypeError, since it is told no format
    with pytest.raises(ValueError, match=r"x\.raw is not a readable audio file .* Repair or remove it\."):
        load_audio(tmp_path / "x.raw")


@pytest.mark.parametrize("error", [RuntimeError("soxr failed"), TypeError("what"), MemoryError()])
def test_whatever_a_library_raises_is_about_one_file(error, tmp_path, monkeypatch, cropper):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("soxr.resample", fail)
    write_wav(tmp_path / "x.wav", rate=8000)
    skipped = dict(AudioDataset(load_recordings(str(tmp_path)), cropper)[0]["skipped"])
    assert "x.wav" in skipped[str(tmp_path / "x.wav")]


def test_a_pipe_is_not_waited_for(tmp_path, cropper):
    os.mkfifo(tmp_path / "x.wav")
    skipped = dict(AudioDataset(load_recordings(str(tmp_path)), cropper)[0]["skipped"])
    assert "no regular file" in skipped[str(tmp_path / "x.wav")]
