"""A model's folder consists of its own files, and what is in them is named when it is no good."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from ssast_hf.storage.reading import find_file, read_json, read_weights, weight_files, weight_shapes


@pytest.fixture
def secret(tmp_path):
    """A file that is nobody's business, outside of any model's folder."""
    path = tmp_path / "secret"
    path.write_text("{}")
    return path


def test_links_out_of_a_folder_are_refused_by_name(tmp_path, secret):
    folder = tmp_path / "model"
    (folder / "figures").mkdir(parents=True)
    (folder / "config.json").symlink_to(secret)
    (folder / "figures" / "step-1-clip-0.png").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    for name in ("config.json", "figures/step-1-clip-0.png", "linked/secret"):
        with pytest.raises(ValueError, match=rf"{name} is a link to {secret}, out of the folder"):
            find_file(folder, name)
    (folder / "loop").symlink_to("loop")
    (folder / "nowhere").symlink_to("absent")
    for name in ("loop", "nowhere"):
        with pytest.raises(ValueError, match=f"{name} is a link that leads nowhere"):
            find_file(folder, name)
    with pytest.raises(ValueError, match="figures is no file"):
        find_file(folder, "figures")
    assert find_file(folder, "absent") is None


def test_links_within_a_folder_and_within_the_cache_of_the_hub_are_followed(tmp_path, secret):
    repository = tmp_path / "models--org--ssast"
    folder = repository / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "f00d").write_text("{}")
    (folder / "config.json").symlink_to("../../blobs/f00d")
    (folder / "copy.json").symlink_to("config.json")
    (folder / "other.json").symlink_to(secret)
    (tmp_path / "link").symlink_to(folder)
    for name in ("config.json", "copy.json"):
        assert find_file(tmp_path / "link", name).read_text() == "{}"
    with pytest.raises(ValueError, match="out of the folder"):
        find_file(folder, "other.json")


def write_shards(folder, names=("model-1-of-2.safetensors", "model-2-of-2.safetensors"), **changes):
    """Weights in two files, and an index that names others if told to."""
    folder.mkdir()
    for number in (1, 2):
        save_file({f"{number}": torch.ones(number)}, folder / f"model-{number}-of-2.safetensors")
    index = {"metadata": {}, "weight_map": {"1": names[0], "2": names[1]}} | changes
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_weights_in_several_files(tmp_path):
    folder = write_shards(tmp_path / "model")
    assert weight_shapes(folder) == {"1": (1,), "2": (2,)}
    assert {key: tuple(tensor.shape) for key, tensor in read_weights(folder).items()} == {"1": (1,), "2": (2,)}
    (folder / "model-2-of-2.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks model-2-of-2\.safetensors"):
        weight_files(folder)


@pytest.mark.parametrize("name", ["../x.safetensors", "sub/x.safetensors", "{}/x.safetensors", "..", "secret", ""])
def test_index_names_plain_files_in_its_folder(tmp_path, secret, name):
    shutil.copy(secret, tmp_path / "x.safetensors")
    folder = write_shards(tmp_path / "model", ("model-1-of-2.safetensors", name.format(tmp_path)))
    with pytest.raises(ValueError, match=r"index\.json names .*, which is no safetensors file in its folder"):
        weight_files(folder)


def test_files_of_an_index_may_not_be_links_out_of_the_folder(tmp_path):
    folder = write_shards(tmp_path / "model")
    (folder / "model-2-of-2.safetensors").rename(tmp_path / "x.safetensors")
    (folder / "model-2-of-2.safetensors").symlink_to(tmp_path / "x.safetensors")
    for read in (weight_files, read_weights, weight_shapes):
        with pytest.raises(ValueError, match=r"model-2-of-2\.safetensors is a link to .*x\.safetensors, out of"):
            read(folder)


@pytest.mark.parametrize("changes", [{"metadata": None}, {"weight_map": []}, {"weight_map": {}}])
def test_index_that_transformers_could_not_read(tmp_path, changes):
    with pytest.raises(ValueError, match=r"lacks a weight_map or metadata"):
        weight_files(write_shards(tmp_path / "model", **changes))


def test_index_of_things_that_are_no_names(tmp_path):
    folder = write_shards(tmp_path / "model", weight_map={"1": ["x"], "2": 3})
    with pytest.raises(ValueError, match="which is no safetensors file"):
        weight_files(folder)


def test_file_without_tensors(tmp_path):
    save_file({}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="holds no tensors"):
        read_weights(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "3", "null", "[" * 100_000, '{"a":' * 100_000, "\udcff", ""])
def test_json_that_holds_no_fields(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"x\.json is not a list of things"):
        read_json(tmp_path / "x.json", "a list of things")


def test_json_of_many_megabytes(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"a": "x" * (17 << 20)}))
    with pytest.raises(ValueError, match=r"x\.json has 18 MB, so it is not a list of things"):
        read_json(tmp_path / "x.json", "a list of things")
