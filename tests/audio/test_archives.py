"""Tar archives that are empty or damaged are refused by name, listed or streamed, with what to do."""

import tarfile

import pytest
import torch

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.assets import bundled_clips
from ssast_hf.audio.archives import read_archives
from ssast_hf.audio.audio_datasets import AudioStream
from ssast_hf.audio.cropping import Cropper
from ssast_hf.audio.recordings import load_recordings
from ssast_hf.cli import message_of


@pytest.fixture
def archive(tmp_path):
    """Two recordings and a text."""
    path = tmp_path / "clips.tar"
    (tmp_path / "notes.txt").write_text("no audio")
    with tarfile.open(path, "w") as members:
        for file in (*sorted(bundled_clips(), key=lambda path: path.stat().st_size)[:2], tmp_path / "notes.txt"):
            members.add(file, file.name)
    return path


def read_by_index(path):
    return [recording["name"] for recording in load_recordings(str(path))]


def read_as_stream(path):
    return [row["name"] for row in read_archives([str(path)])]


@pytest.mark.parametrize("read", [read_by_index, read_as_stream])
def test_recordings_are_named_by_their_archive(read, archive):
    names = read(archive)
    assert len(names) == 2
    assert all(name.startswith(f"{archive}/") for name in names)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("content", ["notes.txt", None])
def test_an_archive_without_audio_is_refused(content, streaming, tmp_path):
    (tmp_path / "notes.txt").write_text("no audio")
    with tarfile.open(tmp_path / "texts.tar", "w") as members:
        if content is not None:
            members.add(tmp_path / content, content)
    with pytest.raises(ValueError, match=r"texts\.tar holds no recordings.*no audio file \(\.aif"):
        load_recordings(f"{tmp_path}/texts.tar", streaming=streaming)


def offset_of(archive, index: int) -> int:
    with tarfile.open(archive) as members:
        return members.getmembers()[index].offset


@pytest.mark.parametrize("read", [read_by_index, read_as_stream])
@pytest.mark.parametrize(("index", "more"), [(1, 0), (1, 100), (1, 700), (1, 5000), (2, 0)])
def test_a_truncated_archive_is_refused(index, more, read, archive):
    """Before a header, in the middle of both of its parts and of a recording, and before what is no recording."""
    archive.write_bytes(archive.read_bytes()[: offset_of(archive, index) + more])
    with pytest.raises(
        ValueError, match=r"clips\.tar is not a whole tar archive.*\(.+\)\. Download or copy it again\."
    ):
        read(archive)


@pytest.mark.parametrize("read", [read_by_index, read_as_stream])
def test_a_damaged_header_is_no_end(read, archive):
    content, place = bytearray(archive.read_bytes()), offset_of(archive, 1)
    content[place + 148] ^= 0xFF  # its checksum
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=rf"clips\.tar is not a whole tar archive.* at byte {place}\)"):
        read(archive)


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_in_the_middle_of_a_stream_is_one_sentence(workers, archive):
    archive.write_bytes(archive.read_bytes()[: offset_of(archive, 1) + 5000])
    cropper = Cropper(SSASTFeatureExtractor(max_length=50), min_frames=16, seed=3)
    stream = AudioStream(load_recordings(str(archive), streaming=True), cropper, buffer_size=1)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=workers)
    seen: list[dict] = []
    with pytest.raises(ValueError, match="unexpected end of data") as error:
        seen.extend(loader)
    assert seen[0]["skipped"] == []
    sentence = f"{archive} is not a whole tar archive (unexpected end of data). Download or copy it again."
    assert message_of(error.value, "pretrain") == sentence


def test_a_damaged_compressed_archive_is_refused(archive, tmp_path):
    with tarfile.open(tmp_path / "clips.tar.gz", "w:gz") as members:
        members.add(archive, "clips.wav")
    content = (tmp_path / "clips.tar.gz").read_bytes()
    (tmp_path / "half.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"half\.tar is not a whole tar archive"):
        read_as_stream(tmp_path / "half.tar")
