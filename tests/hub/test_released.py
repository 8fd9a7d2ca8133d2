"""All checkpoints in one go, from a file server with good and bad files, to a Hub, both on the loopback address."""

import json
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from original import original_checkpoint
from safetensors.torch import load_file, save_file

from ssast_hf import SSASTConfig
from ssast_hf.checkpoints.download import cache_path, checksum_path
from ssast_hf.checkpoints.records import released_checkpoints
from ssast_hf.cli import main
from ssast_hf.hub.readme import is_untouched, read_card
from ssast_hf.hub.released import convert_released
from ssast_hf.hub.staging import stage_repository
from ssast_hf.hub.upload import publish
from ssast_hf.storage.reading import sha256_of


@pytest.fixture
def files(tmp_path):
    """A folder that is served over HTTP, and its address."""
    folder = tmp_path / "server"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def write_records(path: Path, files, names, **changes) -> dict[str, dict]:
    """Records of very small checkpoints, which are put on the server."""
    folder, address = files
    records = {}
    for seed, name in enumerate(names):
        torch.save(original_checkpoint(seed=seed), folder / f"{name}.pth")
        records[name] = released_checkpoints()["SSAST-Tiny-Patch-400"] | {
            "name": name,
            "url": f"{address}/{name}.pth",
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "max_length": 128,
            "num_masked_patches": 50,
            **changes.get(name, {}),
        }
    path.write_text(json.dumps(list(records.values())))
    return records


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """A cache of its own, and no verification in a fresh process, which is slow and tested elsewhere."""
    monkeypatch.setattr("ssast_hf.checkpoints.download.HF_HOME", tmp_path / "hf_home")
    for module in ("released", "upload"):
        monkeypatch.setattr(f"ssast_hf.hub.{module}.verify", lambda *arguments: 0.0)


def table(printed: str) -> dict[str, list[str]]:
    """Lines of the table by name: what happened, and the rest."""
    lines = printed.split("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines}


def test_bad_files_do_not_stop_the_others_and_what_is_good_is_published(
    files, hub, tmp_path, run_without_package, monkeypatch, capsys, quick
):
    names = ("Good", "Broken-Link", "Truncated", "Wrong-Checksum", "Other-Shape", "Good-Too")
    changes = {"Wrong-Checksum": {"sha256": "0" * 64}, "Other-Shape": {"num_hidden_layers": 3}}
    write_records(tmp_path / "records.json", files, names, **changes)
    (files[0] / "Broken-Link.pth").unlink()
    whole = (files[0] / "Truncated.pth").read_bytes()
    (files[0] / "Truncated.pth").write_bytes(whole[: len(whole) // 2])

    monkeypatch.chdir(tmp_path)
    for module in ("released", "upload"):
        monkeypatch.setattr(f"ssast_hf.hub.{module}.HfApi", lambda: HfApi(endpoint=hub.url, token="hf_owner"))
    monkeypatch.setattr("ssast_hf.hub.upload.get_token", lambda: "hf_owner")
    arguments = ["convert-all", "--output", "zoo", "--checkpoints", "records.json"]
    assert main([*arguments, "--publish", "--namespace", "org"]) == 1
    printed = capsys.readouterr()
    failed = "4 of 6 checkpoints failed: Broken-Link, Truncated, Wrong-Checksum, Other-Shape."
    assert failed in printed.err, printed.out
    rows = table(printed.out)
    assert [rows[name][0] for name in names] == ["converted", "failed", "failed", "failed", "failed", "converted"]
    assert "404" in rows["Broken-Link"][1]
    assert "is not a whole PyTorch file" in printed.out  # in full below the table
    assert f"expected {'0' * 64}" in printed.out  # in full below the table
    assert "num_hidden_layers is 2" in rows["Other-Shape"][1]
    assert hub.repositories.keys() == {"org/good", "org/good-too"}
    for name in ("good", "good-too"):
        folder, published = tmp_path / "zoo" / name, hub.files(f"org/{name}")
        assert published["model.safetensors"] == (folder / "model.safetensors").read_bytes()
        assert published["README.md"] == (folder / "README.md").read_bytes()
        assert is_untouched(read_card(folder / "README.md"))
        assert b"Yuan Gong" in published["LICENSE.SSAST"]
        assert b"\nlicense: bsd-3-clause\n" in published["README.md"]
    blocks = re.findall(r"^```python\n(.*?)^```", published["README.md"].decode(), flags=re.MULTILINE | re.DOTALL)
    printed = run_without_package("\n".join(blocks), HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    assert printed.startswith("torch.Size([1, 64])\ntorch.Size([1, 66, 64])\n")
    stored = load_file(tmp_path / "zoo" / "good" / "model.safetensors")["reconstruction_head.dense.bias"]
    assert torch.equal(stored, original_checkpoint(seed=0)["module.gpredlayer.0.bias"])
    assert sha256_of(files[0] / "Good-Too.pth").encode() in published["README.md"]
    assert not (tmp_path / "zoo" / "truncated").exists()

    # mended, the same command does what is left and downloads nothing again
    records = json.loads((tmp_path / "records.json").read_text())
    (tmp_path / "records.json").write_text(json.dumps([r for r in records if r["name"] in ("Good", "Truncated")]))
    (files[0] / "Truncated.pth").write_bytes(whole)
    (files[0] / "Good.pth").unlink()
    assert main(arguments) == 0
    rows = table(capsys.readouterr().out)
    assert (rows["Good"][0], rows["Truncated"][0]) == ("was", "converted")
    assert (tmp_path / "zoo" / "truncated" / "README.md").exists()


def test_checksum_of_the_first_download_is_enforced(files, tmp_path, capsys, quick):
    records = write_records(tmp_path / "records.json", files, ["Good"])
    url = records["Good"]["url"]
    arguments = ["convert-all", "--output", str(tmp_path / "zoo"), "--checkpoints", str(tmp_path / "records.json")]
    assert main(arguments) == 0
    cached = cache_path("Good", url)
    assert checksum_path(cached).read_text()[:12] in capsys.readouterr().out
    cached.unlink()
    torch.save(original_checkpoint(seed=7), files[0] / "Good.pth")
    assert main([*arguments, "--overwrite"]) == 1
    assert "make sure that you trust it" in capsys.readouterr().out
    assert not cached.exists()
    checksum_path(cached).unlink()
    assert main([*arguments, "--overwrite"]) == 0


def test_folder_with_other_weights_is_not_taken_for_the_checkpoint(files, tmp_path, monkeypatch, capsys, quick):
    records = write_records(tmp_path / "records.json", files, ["Good"])
    arguments = ["convert-all", "--output", str(tmp_path / "zoo"), "--checkpoints", str(tmp_path / "records.json")]
    assert main(arguments) == 0
    folder = tmp_path / "zoo" / "good"
    state = load_file(folder / "model.safetensors")
    state["reconstruction_head.dense.bias"] += 1
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert main(arguments) == 1
    assert "does not hold the weights of Good as converted; pass --overwrite" in capsys.readouterr().out
    monkeypatch.setattr("ssast_hf.hub.staging.released_checkpoints", lambda: records)
    with pytest.raises(ValueError, match="no license"):  # nor does `publish`
        stage_repository(folder, tmp_path / "staged", "org/good")


def test_released_checkpoint_is_published_with_its_card(files, tmp_path, monkeypatch, capsys):
    records = write_records(tmp_path / "records.json", files, ["Good"])
    for module in ("hub.released", "hub.staging"):
        monkeypatch.setattr(f"ssast_hf.{module}.released_checkpoints", lambda: records)
    # from a file that was got by other means, which stays where it is
    local = files[0] / "Good.pth"
    assert main(["convert", "Good", str(tmp_path / "good"), "--url", str(local)]) == 0
    assert sorted(path.name for path in files[0].iterdir()) == ["Good.pth"]
    assert main(["convert", "good", str(tmp_path / "lower"), "--url", str(local)]) == 0  # the same name
    assert read_config(tmp_path / "lower").num_masked_patches == read_config(tmp_path / "good").num_masked_patches
    stage_repository(tmp_path / "good", tmp_path / "staged", "org/mine")
    card = read_card(tmp_path / "staged" / "README.md")
    assert 'name = "org/mine"' in card
    assert sha256_of(local) in card
    assert not (tmp_path / "staged" / "original_checkpoint.json").exists()
    stored = (tmp_path / "good" / "config.json").read_text()
    (tmp_path / "good" / "config.json").write_text(stored.replace('"joint"', '"generative"'))
    with pytest.raises(ValueError, match="no license"):  # no longer what the record says
        stage_repository(tmp_path / "good", tmp_path / "other", "org/mine")
    (tmp_path / "good" / "config.json").write_text(stored)
    with pytest.raises(ValueError, match="leave out license"):
        publish(tmp_path / "good", "org/mine", license="mit", dry_run=True)
    (tmp_path / "good" / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    with pytest.raises(ValueError, match="states the license mit, expected bsd-3-clause"):
        publish(tmp_path / "good", "org/mine", dry_run=True)
    (tmp_path / "good" / "README.md").unlink()
    assert main(["convert", "Good", str(tmp_path / "good"), "--url", str(local), "--overwrite"]) == 0
    # another model in its place does not inherit the card
    torch.save(original_checkpoint(seed=5), tmp_path / "other.pth")
    assert main(["convert", str(tmp_path / "other.pth"), str(tmp_path / "good"), "--overwrite"]) == 0
    assert not (tmp_path / "good" / "README.md").exists()
    assert not (tmp_path / "good" / "original_checkpoint.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a JSON file"),
        ("{}", "must hold a list"),
        ('[{"name": "A"}]', "record 'A' lacks url, parameters, hidden_size"),
    ],
)
def test_wrong_records_are_named(content, message, tmp_path, capsys):
    (tmp_path / "records.json").write_text(content)
    assert (
        main(["convert-all", "--output", str(tmp_path / "zoo"), "--checkpoints", str(tmp_path / "records.json")]) == 1
    )
    assert message in capsys.readouterr().err


def test_publishing_is_refused_before_the_first_download(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ssast_hf.hub.released.fetch", lambda *arguments: pytest.fail("downloaded"))
    monkeypatch.setattr("ssast_hf.hub.upload.get_token", lambda: None)
    arguments = ["convert-all", "--output", str(tmp_path / "zoo"), "--publish"]
    assert main(arguments) == 1
    assert "needs --namespace" in capsys.readouterr().err
    assert main([*arguments, "--namespace", "org"]) == 1
    assert "hf auth login" in capsys.readouterr().err


def read_config(folder) -> SSASTConfig:
    return SSASTConfig.from_pretrained(folder)


def test_masked_share_is_that_of_the_records_own_grid(files, tmp_path, quick):
    """50 of the 64 patches of a record with 128 frames; half as many of a file with half as many patches."""
    record = write_records(tmp_path / "records.json", files, ["Good"])["Good"]
    report = convert_released(record, tmp_path / "good")
    assert read_config(tmp_path / "good").num_masked_patches == 50
    assert "50 of 64 patches masked" in (tmp_path / "good" / "README.md").read_text()
    assert not any(line.startswith("note") for line in report)
    torch.save(original_checkpoint(max_length=64), tmp_path / "short.pth")
    report = convert_released(record, tmp_path / "short", url=str(tmp_path / "short.pth"))
    assert read_config(tmp_path / "short").num_masked_patches == 25
    assert [line for line in report if line.startswith("note")] == [
        "note     max_length is 64, the record of Good says 128"
    ]


def test_a_checkpoint_is_hashed_once(files, tmp_path, monkeypatch, quick):
    hashed = []

    def count(path):
        hashed.append(path.suffix)
        return sha256_of(path)

    for module in ("download", "origin"):
        monkeypatch.setattr(f"ssast_hf.checkpoints.{module}.sha256_of", count)
    record = write_records(tmp_path / "records.json", files, ["Good"])["Good"]
    convert_released(record, tmp_path / "good")
    assert hashed == [".pth", ".safetensors"]  # the second one is of the result


def test_readme_that_cannot_be_completed_leaves_the_old_model_alone(files, tmp_path, capsys, monkeypatch, quick):
    records = write_records(tmp_path / "records.json", files, ["Good"])
    monkeypatch.setattr("ssast_hf.hub.released.released_checkpoints", lambda: records)
    folder = tmp_path / "model"
    assert main(["convert", str(files[0] / "Good.pth"), str(folder), "--num_masked_patches", "3"]) == 0
    readme = "Vögel und andere Stimmen".encode("latin-1")
    (folder / "README.md").write_bytes(readme)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["convert", "Good", str(folder), "--overwrite"]) == 1
    assert "README.md is not encoded in UTF-8" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # A local file has no card, so the README.md is only kept.
    assert main(["convert", str(files[0] / "Good.pth"), str(folder), "--overwrite"]) == 0
    assert read_config(folder).num_masked_patches == 50
    assert (folder / "README.md").read_bytes() == readme


def test_card_and_origin_lie_in_the_folder_before_it_takes_its_place(files, tmp_path, monkeypatch, quick):
    record = write_records(tmp_path / "records.json", files, ["Good"])["Good"]

    def die(path, *arguments):
        names = {entry.name for entry in path.iterdir()}
        assert {"README.md", "original_checkpoint.json", "model.safetensors"} <= names
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr("ssast_hf.storage.writing.os.replace", die)
        with pytest.raises(OSError, match="no room"):
            convert_released(record, tmp_path / "good", url=str(files[0] / "Good.pth"))
    assert not (tmp_path / "good").exists()
