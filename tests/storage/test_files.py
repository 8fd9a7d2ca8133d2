import stat

import pytest

from ssast_hf import SSASTConfig
from ssast_hf.cli import main
from ssast_hf.storage.writing import written_whole


def test_failure_leaves_nothing(tmp_path):
    def write_half():
        with written_whole(tmp_path / "new" / "deep" / "folder") as folder:
            folder.mkdir()
            (folder / "half").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_the_old_folder(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("old")

    def interrupt():
        with written_whole(tmp_path / "old") as folder:
            folder.mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert (tmp_path / "old" / "config.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_result_is_as_accessible_as_any_new_folder(tmp_path):
    with written_whole(tmp_path / "folder") as folder:
        folder.mkdir()
    (tmp_path / "usual").mkdir()
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "usual"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export-original", "model", "model"], "part of the input"),
        (["export-ast", "model", "model"], "part of the input"),
        (["convert", "model/source.pth", "model"], "part of the input"),
        (["convert", "source.pth", "source.pth"], "part of the input"),
        (["convert", "source.pth", "other.pth"], "is no folder"),
        (["export-ast", "model", "."], "part of the input"),
        (["export-original", "model", "folder"], "is no file"),
        (["export-original", "model", "model/model.safetensors"], "part of the input"),
    ],
)
def test_overwriting_never_destroys_the_input_or_another_kind_of_thing(
    model, original_file, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("model")
    for name in ("source.pth", "other.pth", "model/source.pth"):
        (tmp_path / name).write_bytes(original_file.read_bytes())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([*arguments, "--overwrite"]) == 1
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_current_folder_is_not_replaced(original_file, tmp_path, monkeypatch, capsys):
    """The shell would be left in a folder that is gone."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["convert", str(original_file), ".", "--overwrite"]) == 1
    assert "current folder" in capsys.readouterr().err


def test_overwriting_a_folder_replaces_the_model_alone(model, original_file, tmp_path):
    folder = tmp_path / "folder"
    model.save_pretrained(folder)
    (folder / "README.md").write_text("mine")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "config.json").write_text("{}")
    (folder / "losses.json").write_text("[]")
    (tmp_path / "link").symlink_to(folder)
    assert main(["convert", str(original_file), str(tmp_path / "link"), "--overwrite"]) == 0
    assert (tmp_path / "link").is_symlink()
    assert (folder / "README.md").read_text() == "mine"
    assert (folder / "checkpoint-10" / "config.json").exists()
    assert not (folder / "losses.json").exists()  # of the model that was replaced
    assert SSASTConfig.from_pretrained(folder).hidden_size == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "original.pth"]


def test_place_that_cannot_be_written(original_file, tmp_path, capsys):
    assert main(["convert", str(original_file), str(original_file / "ssast")]) == 1
    assert f"{original_file} is not a folder" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "absent.pth"), str(tmp_path / "ssast")]) == 1
    assert "SSAST-Base-Patch-400" in capsys.readouterr().err  # the names that exist


def test_read_only_place(original_file, tmp_path, monkeypatch, capsys):
    """Checked by asking the system, since a superuser may write anywhere."""
    monkeypatch.setattr("ssast_hf.storage.writing.os.access", lambda path, mode: False)
    assert main(["convert", str(original_file), str(tmp_path / "ssast")]) == 1
    assert f"no permission to write in {tmp_path}" in capsys.readouterr().err
    old = tmp_path / "ssast"
    old.mkdir()
    monkeypatch.setattr("ssast_hf.storage.writing.os.access", lambda path, mode: path != old)
    assert main(["convert", str(original_file), str(old), "--overwrite"]) == 1
    assert f"{old} cannot be replaced: no permission to write in it" in capsys.readouterr().err


def test_folder_inside_the_models_can_be_written_again(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    for options in ([], ["--overwrite"]):
        assert main(["export-ast", str(tmp_path / "model"), str(tmp_path / "model" / "ast"), *options]) == 0
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_output_that_is_a_link_to_itself(original_file, tmp_path, capsys):
    (tmp_path / "out").symlink_to("out")
    for options in ([], ["--overwrite"]):
        assert main(["convert", str(original_file), str(tmp_path / "out"), *options]) == 1
        assert "leads back to itself" in capsys.readouterr().err
