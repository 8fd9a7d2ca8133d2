"""Publishing: what is staged, what is verified, and what the real client does at a Hub on the loopback address."""

import json
import time
from pathlib import Path

import pytest
import torch
from fresh import COMMAND, FreshProcess
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

import ssast_hf
from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.cli import main
from ssast_hf.hub.cards import render_card
from ssast_hf.hub.fresh_process import verify
from ssast_hf.hub.readme import is_untouched, read_card, split
from ssast_hf.hub.staging import stage_repository
from ssast_hf.hub.upload import explain, explained, publish, upload


ISLAND = {path.name for path in Path(ssast_hf.__file__).parent.glob("*_ssast.py")}
PERSONAL = "---\nlicense: mit\ntags:\n- birds\n---\n# My birds\n\nWritten by hand.\n"
# Loads everything as a stranger and prints what comes out.
LOAD = """
import sys, numpy as np, torch, transformers
features = transformers.AutoFeatureExtractor.from_pretrained("org/ssast", trust_remote_code=True)
inputs = features(np.ones(8000, dtype=np.float32), sampling_rate=16000, return_tensors="pt")
for name in ("AutoModelForPreTraining", "AutoModel", "AutoModelForAudioClassification"):
    model = getattr(transformers, name).from_pretrained("org/ssast", trust_remote_code=True).eval()
    encoded = model.base_model(**inputs).last_hidden_state
    print(type(model).__module__.split(".")[0], type(model).__name__, f"{encoded.double().square().sum().item():.6f}")
"""


@pytest.fixture
def folder(model, config, tmp_path):
    """A saved pretraining model with its feature extractor."""
    return save(model, config, tmp_path / "model")


def save(model, config, path):
    model.save_pretrained(path)
    SSASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length).save_pretrained(path)
    return path


@pytest.fixture
def start(hub, tmp_path):
    """Start code with this package and the token `hf_owner` in a process of its own."""

    def start(code: str, *arguments) -> FreshProcess:
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_owner", "HF_HOME": str(tmp_path / "hf_home")}
        return FreshProcess(code, arguments, tmp_path, has_package=True, HF_HUB_OFFLINE="0", **environment)

    return start


# What is staged


def test_staged_folder_holds_what_a_stranger_needs_and_nothing_else(folder, tmp_path):
    for name in (
        "curves.png",
        "training_args.bin",
        "figures/step-0000005-clip-0.png",
        "figures/step-0000010-clip-0.png",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    for name in ("private.png", "model_old.safetensors"):
        (folder / name).write_bytes(b"x")
    stage_repository(folder, tmp_path / "staged", "org/ssast", license="mit")
    names = {path.relative_to(tmp_path / "staged").as_posix() for path in (tmp_path / "staged").rglob("*.*")}
    assert names == ISLAND | {
        "config.json",
        "model.safetensors",
        "modules.json",
        "preprocessor_config.json",
        "sentence_bert_config.json",
        "LICENSE.SSAST",
        "README.md",
        "curves.png",
        "figures/step-0000010-clip-0.png",
    }
    assert (tmp_path / "staged" / "LICENSE").exists()
    card = (tmp_path / "staged" / "README.md").read_text()
    assert "![curves.png](curves.png)" in card
    assert is_untouched(card)
    config = json.loads((tmp_path / "staged" / "config.json").read_text())
    assert len(config["auto_map"]) == 8
    assert config["architectures"] == ["SSASTForPretraining"]
    stored = [load_file(path / "model.safetensors") for path in (folder, tmp_path / "staged")]
    assert all(torch.equal(stored[0][name], stored[1][name]) for name in stored[0])


@pytest.mark.parametrize("model_class", [SSASTForAudioClassification, ssast_hf.SSASTModel])
def test_other_classes_are_staged_as_what_they_are(model_class, config, tmp_path):
    save(model_class(config), config, tmp_path / "model")
    staged = stage_repository(tmp_path / "model", tmp_path / "staged", "org/ssast", license="mit")
    assert staged.architectures == [model_class.__name__]
    task = "audio-classification" if model_class is SSASTForAudioClassification else "feature-extraction"
    assert split(read_card(tmp_path / "staged" / "README.md"), "")[0]["pipeline_tag"] == task


def test_tokenizer_goes_with_a_model_for_text(config, tmp_path):
    fields = config.to_dict() | {"patch_size": [32, 2], "frequency_stride": None, "time_stride": None}
    model = ssast_hf.SSASTForCTC(ssast_hf.SSASTConfig(**fields | {"vocab_size": 4}))
    folder = save(model, config, tmp_path / "model")
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "vocab.json").write_text('{"<pad>": 0, "|": 1, "a": 2, "b": 3}')
    with pytest.raises(ValueError, match=r"no tokenizer_config.json. Save its tokenizer beside it"):
        stage_repository(folder, tmp_path / "staged", "org/ssast", license="mit")
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": "mine.Mine"}}')
    with pytest.raises(ValueError, match="names code to run"):
        stage_repository(folder, tmp_path / "staged", "org/ssast", license="mit")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>"}')
    (folder / "merges.txt").write_text("")
    stage_repository(folder, tmp_path / "staged", "org/ssast", license="mit")
    names = {path.name for path in (tmp_path / "staged").iterdir()}
    assert {"vocab.json", "tokenizer_config.json", "special_tokens_map.json"} <= names
    assert "merges.txt" not in names
    assert "### Transcribe" in (tmp_path / "staged" / "README.md").read_text()


def test_readme_of_a_person_keeps_its_text(folder, tmp_path):
    (folder / "README.md").write_text(PERSONAL)
    stage_repository(folder, tmp_path / "staged", "org/ssast", datasets=["org/birds"])
    card = (tmp_path / "staged" / "README.md").read_text()
    assert card.endswith("---\n# My birds\n\nWritten by hand.\n")
    metadata, _ = split(card, "README.md")
    assert metadata["license"] == "mit"
    assert metadata["tags"][0] == "birds"
    assert "ssast" in metadata["tags"]
    assert metadata["datasets"] == ["org/birds"]
    assert (folder / "README.md").read_text() == PERSONAL
    with pytest.raises(ValueError, match=r"states the license mit, expected apache-2\.0"):
        stage_repository(folder, tmp_path / "again", "org/ssast", license="apache-2.0")


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no license\. Pass --license"):
        stage_repository(folder, tmp_path / "staged", "org/ssast")
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(ValueError, match=r"metadata at the head of .*README.md cannot be read"):
        stage_repository(folder, tmp_path / "staged2", "org/ssast")
    (folder / "README.md").write_bytes("Vögel".encode("latin-1"))
    with pytest.raises(ValueError, match=r"model.README.md is not encoded in UTF-8"):
        stage_repository(folder, tmp_path / "staged6", "org/ssast")
    (folder / "README.md").unlink()
    SSASTFeatureExtractor(num_mel_bins=64, max_length=64).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"num_mel_bins=64, config\.json 32"):
        stage_repository(folder, tmp_path / "staged3", "org/ssast", license="mit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"has no preprocessor_config\.json"):
        stage_repository(folder, tmp_path / "staged4", "org/ssast", license="mit")
    with pytest.raises(FileNotFoundError, match="no_folder does not exist"):
        stage_repository(tmp_path / "no_folder", tmp_path / "staged5", "org/ssast")


@pytest.mark.parametrize("repo_id", ["name", "a/b/c", "org/na me", "org/"])
def test_repo_id_is_checked_before_any_work(repo_id, tmp_path):
    with pytest.raises(ValueError, match=r"NAME|Repo id"):
        publish(tmp_path / "no folder", repo_id, dry_run=True)


def test_verification_finds_other_weights_and_broken_code(folder, tmp_path):
    staged = tmp_path / "staged"
    config = stage_repository(folder, staged, "org/ssast", license="mit")
    state = load_file(staged / "model.safetensors")
    state["audio_spectrogram_transformer.layernorm.weight"][3] += 0.1
    save_file(state, staged / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="of the staged folder differs by"):
        verify(folder, staged, config)
    (staged / "masking_ssast.py").unlink()
    with pytest.raises(ValueError, match=r"(?s)does not load in a fresh process.*masking_ssast"):
        verify(folder, staged, config)


def test_dry_run_needs_neither_token_nor_network(folder, monkeypatch, capsys):
    monkeypatch.setattr("ssast_hf.hub.upload.get_token", lambda: None)
    assert main(["publish", str(folder), "--repo_id", "org/ssast", "--license", "mit", "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert "modeling_ssast.py" in printed
    assert "largest relative difference" in printed
    assert "license: mit" in printed
    assert printed.endswith("Nothing was uploaded (dry run).\n")
    command = ["publish", str(folder), "--repo_id", "org/ssast", "--license", "mit", "--dry_run"]
    assert main([*command, "--base_model", "./zoo/ssast-tiny-patch-400"]) == 1
    assert "./zoo/ssast-tiny-patch-400" in capsys.readouterr().err
    assert main(["publish", str(folder), "--repo_id", "org/ssast", "--license", "mit"]) == 1
    assert "hf auth login" in capsys.readouterr().err


# What is uploaded: small stand-ins for staged files, the real client


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.url, token="hf_owner")


@pytest.fixture
def staged(tmp_path, config):
    folder = tmp_path / "staged"
    folder.mkdir()
    (folder / "README.md").write_text(render_card(config, "org/ssast", license="mit"))
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights" * 1000)
    return folder


def send(api, folder, repo_id="org/ssast", private=False, create_pr=False, revision=None):
    return upload(api, folder, repo_id, private, create_pr, revision, "a commit")


def test_one_commit_holds_everything(hub, api, staged):
    report = send(api, staged)
    assert hub.repositories["org/ssast"].messages == ["initial commit", "a commit"]
    assert hub.files("org/ssast") == {path.name: path.read_bytes() for path in staged.iterdir()}
    assert report[-1].startswith(f"Published: {hub.url}/org/ssast/commit/")


def test_files_of_an_earlier_upload_go_in_the_same_commit(hub, api, staged):
    ours = ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "figures/step-1-clip-0.png")
    others = ("notes.txt", "model_lora.safetensors", "tools/my_ssast.py")
    for name in (*ours, *others):
        (staged / name).parent.mkdir(exist_ok=True)
        (staged / name).write_text("x")
    send(api, staged)
    for name in (*ours, *others):
        (staged / name).unlink()
    send(api, staged)
    assert hub.files("org/ssast").keys() == {"README.md", "config.json", "model.safetensors", *others}
    assert len(hub.repositories["org/ssast"].messages) == 3


def test_card_that_a_person_edited_on_the_hub_is_kept(hub, api, staged, config):
    send(api, staged)
    ours = hub.files("org/ssast")["README.md"].decode()
    (staged / "README.md").write_text(render_card(config, "org/ssast", license="mit", datasets=["org/birds"]))
    assert len(send(api, staged)) == 1  # nobody has edited it: replaced
    assert b"org/birds" in hub.files("org/ssast")["README.md"]
    edited = ours.replace("# ssast", "# ssast, my own words").replace("- audio\n", "- audio\n- birds\n", 1)
    api.upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id="org/ssast")
    assert "its text is kept" in send(api, staged)[0]
    kept = hub.files("org/ssast")["README.md"].decode()
    assert kept.split("---\n", 2)[2] == edited.split("---\n", 2)[2]
    assert "- birds" in kept
    assert "- org/birds" in kept
    (staged / "README.md").write_text(render_card(config, "org/ssast", license="apache-2.0"))
    with pytest.raises(ValueError, match=r"org/ssast/README\.md states the license mit, expected apache-2\.0"):
        send(api, staged)


def test_pull_request_and_branch_leave_main_alone(hub, api, staged):
    send(api, staged)
    (staged / "config.json").write_text('{"second": 2}')
    assert send(api, staged, create_pr=True)[-1] == f"Published: {hub.url}/org/ssast/discussions/1"
    (staged / "config.json").write_text('{"third": 3}')
    send(api, staged, revision="v3")
    contents = [hub.files("org/ssast", revision)["config.json"] for revision in ("main", "refs/pr/1", "v3")]
    assert contents == [b"{}", b'{"second": 2}', b'{"third": 3}']


def test_private_is_private(hub, api, staged):
    send(api, staged, private=True)
    assert hub.repositories["org/ssast"].private
    send(api, staged, "org/public")
    with pytest.raises(ValueError, match="org/public exists and is public; nothing was uploaded"):
        send(api, staged, "org/public", private=True, revision="secret")
    assert hub.repositories["org/public"].branches.keys() == {"main"}


def test_somebody_elses_commit_in_between_is_an_error(hub, api, staged, monkeypatch):
    send(api, staged)
    (staged / "config.json").write_text('{"second": 2}')

    def commit_meanwhile(*arguments):
        hub.repositories["org/ssast"].commit("main", {"README.md": (b"new", None)}, "meanwhile")
        return []

    monkeypatch.setattr("ssast_hf.hub.upload.keep_card", commit_meanwhile)
    with pytest.raises(OSError, match="changed meanwhile: run the command again"):
        send(api, staged)
    assert hub.files("org/ssast") == {"README.md": b"new"}


@pytest.mark.parametrize(
    ("token", "advice"), [("hf_stranger", "may not write there"), ("hf_unknown", "does not accept the token")]
)
def test_refusals_say_what_to_do_and_never_show_the_token(hub, staged, monkeypatch, token, advice):
    monkeypatch.setattr("ssast_hf.hub.upload.get_token", lambda: token)
    with pytest.raises(OSError, match=advice) as caught:
        send(HfApi(endpoint=hub.url, token=token), staged)
    assert token not in str(caught.value)
    assert hub.repositories == {}
    with pytest.raises(OSError, match=r"(?s)Publishing to org/ssast failed.*\*\*\*"), explained("org/ssast"):
        raise json.JSONDecodeError(f"no JSON: {token}", "<html>", 0)
    assert token not in explain(RuntimeError(f"request with Bearer {token} failed"), "org/ssast")


def test_token_does_not_travel_in_the_open(folder, monkeypatch):
    monkeypatch.setattr("ssast_hf.hub.upload.get_token", lambda: "hf_owner")
    monkeypatch.setattr("ssast_hf.hub.upload.HfApi", lambda: HfApi(endpoint="http://hub.example.org"))
    with pytest.raises(ValueError, match="not https"):
        publish(folder, "org/ssast", license="mit")


# The whole way, in processes of their own


@pytest.mark.slow
@pytest.mark.compatibility
def test_strangers_load_what_was_published_online_and_offline(hub, folder, start, run_without_package, model):
    start(COMMAND, "publish", folder, "--repo_id", "org/ssast", "--license", "mit").finish()
    assert hub.repositories["org/ssast"].messages == ["initial commit", "Upload SSAST model"]
    online = run_without_package(LOAD, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    features = SSASTFeatureExtractor.from_pretrained(folder)
    inputs = features(torch.ones(8000).numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        expected = model.eval().base_model(**inputs).last_hidden_state.double().square().sum().item()
    lines = [line.split() for line in online.splitlines()]
    assert [line[1] for line in lines] == ["SSASTForPretraining", "SSASTModel", "SSASTForAudioClassification"]
    assert {line[0] for line in lines} == {"transformers_modules"}
    assert [float(line[2]) for line in lines] == pytest.approx([expected] * 3, rel=1e-5)
    hub.close()
    assert run_without_package(LOAD, HF_ENDPOINT=hub.url) == online


@pytest.mark.compatibility
def test_push_to_hub_makes_a_repository_that_loads_with_pinned_revisions(hub, folder, start, run_without_package):
    push = """
import sys, torch
from ssast_hf import SSASTFeatureExtractor, SSASTForPretraining
model = SSASTForPretraining.from_pretrained(sys.argv[1])
for value in (0.25, 0.5):
    torch.nn.init.constant_(model.reconstruction_head.out_proj.bias, value)
    model.push_to_hub("org/ssast")
    SSASTFeatureExtractor.from_pretrained(sys.argv[1]).push_to_hub("org/ssast")
    print(value)
"""
    start(push, folder).finish()
    first = next(
        sha
        for sha, files in hub.repositories["org/ssast"].commits.items()
        if {"model.safetensors", "preprocessor_config.json"} <= files.keys()
    )
    load = """
import sys
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForPreTraining
for revision in (sys.argv[1], "main"):
    model = AutoModelForPreTraining.from_pretrained("org/ssast", revision=revision, trust_remote_code=True)
    features = AutoFeatureExtractor.from_pretrained("org/ssast", revision=revision, trust_remote_code=True)
    AutoModel.from_pretrained("org/ssast", revision=revision, code_revision=revision, trust_remote_code=True)
    print(model.reconstruction_head.out_proj.bias[0].item(), features.num_mel_bins)
"""
    assert is_untouched(hub.files("org/ssast")["README.md"].decode())  # so that publishing replaces it
    printed = run_without_package(load, first, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    assert printed.split() == ["0.25", "32", "0.5", "32"]


# Stages and uploads, as `publish` does, but without the check that the tests above have made.
UPLOAD = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
from ssast_hf.hub.upload import upload
from ssast_hf.hub.staging import stage_repository
stage_repository(sys.argv[1], Path(sys.argv[2]), "org/ssast", license="mit")
upload(HfApi(), Path(sys.argv[2]), "org/ssast", sys.argv[3] == "private", False, None, "a commit")
"""


@pytest.mark.compatibility
def test_private_repository_asks_for_a_token(hub, folder, start, tmp_path):
    code = """
import os
from ssast_hf import SSASTModel
SSASTModel.from_pretrained("org/ssast")
del os.environ["HF_TOKEN"]
try:
    SSASTModel.from_pretrained("org/ssast", cache_dir="empty")
except OSError as error:
    print(error)
"""
    process = start(UPLOAD + code, folder, tmp_path / "staged", "private")
    printed = process.finish()
    assert hub.repositories["org/ssast"].private
    assert "token" in printed
    assert "hf_owner" not in printed + process.errors()


@pytest.mark.compatibility
def test_interrupted_upload_leaves_nothing_and_the_next_try_succeeds(hub, folder, start, tmp_path):
    hub.hold_uploads = True
    process = start(UPLOAD, folder, tmp_path / "first", "public")
    assert hub.upload_began.wait(120)
    process.kill()
    time.sleep(0.5)
    assert hub.files("org/ssast") == {}
    hub.hold_uploads = False
    start(UPLOAD, folder, tmp_path / "second", "public").finish()
    assert hub.files("org/ssast")["model.safetensors"] == (folder / "model.safetensors").read_bytes()
