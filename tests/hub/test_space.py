"""`ssast-hf publish --space`: what is staged, and what the real client does at a Hub on the loopback address."""

import pytest
from fresh import COMMAND, FreshProcess

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.assets import FOLDER as ASSETS
from ssast_hf.assets import nano_model
from ssast_hf.cli import main
from ssast_hf.hub import space
from ssast_hf.hub.readme import split


# The page is not started, and whatever is installed here has a version.
WITHOUT_PAGE = """
import sys
from ssast_hf.cli import main
from ssast_hf.hub import space
space.check_gradio, space.verify_space, space.version = lambda: None, lambda *arguments: 0.0, lambda name: "1.2+cpu"
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def publish(hub, tmp_path):
    """Publish a Space in a process of its own; returns what it prints."""

    def publish(code: str, *arguments) -> str:
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_owner", "HF_HOME": str(tmp_path / "hf_home")}
        command = ["publish", "--space", "org/page", *arguments]
        return FreshProcess(code, command, tmp_path, True, HF_HUB_OFFLINE="0", **environment).finish()

    return publish


def test_space_holds_the_page_the_model_and_what_they_need(hub, publish):
    report = publish(WITHOUT_PAGE)
    assert "Started in a fresh process and asked once" in report
    assert f"Published: {hub.url}/spaces/org/page/commit/" in report
    assert hub.repositories["spaces/org/page"].messages == ["initial commit", "Upload the page of ssast-hf app"]
    files = hub.files("spaces/org/page")
    compile(files["app.py"], "app.py", "exec")
    assert b'serve(["models/nano"]' in files["app.py"]
    assert "torch==1.2" in files["requirements.txt"].decode().splitlines()
    assert "written or edited by a person" not in report  # what the Hub writes into a new Space is nobody's
    metadata, text = split(files["README.md"].decode(), "README.md")
    assert (metadata["sdk"], metadata["app_file"], metadata["license"]) == ("gradio", "app.py", "cc-by-sa-4.0")
    assert metadata["sdk_version"] == "1.2+cpu"
    assert "models/nano" in text
    assert {"models/nano/model.safetensors", "ssast_hf/app/page.py", "ssast_hf/assets/clips/README.md"} <= files.keys()
    assert not any("__pycache__" in name or name.startswith("ssast_hf/assets/nano/") for name in files)
    # A card that a person has edited keeps its text, and says which gradio the files beside it need.
    edited = files["README.md"].replace(b"What an audio", b"What my audio").replace(b"1.2+cpu", b"0.9")
    old = {"README.md": (edited, None), "ssast_hf/old.py": (b"", None), "notes.txt": (b"mine", None)}
    old["config.json"] = (b"{}", None)
    repository = hub.repositories["spaces/org/page"]
    repository.commit("main", repository.commits[repository.branches["main"]] | old, "edited")
    assert "README.md in the repository was written or edited by a person" in publish(WITHOUT_PAGE)
    files = hub.files("spaces/org/page")
    assert b"What my audio" in files["README.md"]
    assert b"1.2+cpu" in files["README.md"]
    assert "ssast_hf/old.py" not in files
    assert files["notes.txt"] == b"mine"
    assert files["config.json"] == b"{}"  # of no model of this package's: those of a Space are in a folder
    # The program of somebody else stays, and so does all that is beside it.
    own = {"app.py": (b"import gradio", None)}
    repository.commit("main", repository.commits[repository.branches["main"]] | own, "own")
    with pytest.raises(AssertionError, match=r"app\.py in the Space org/page is another program's"):
        publish(WITHOUT_PAGE)
    assert hub.files("spaces/org/page")["app.py"] == b"import gradio"


@pytest.mark.parametrize("version", ["2.14.0.dev20260101+cu130", "2.7.0a0+79aa174.nv25.04"])
def test_space_can_install_releases_alone(version, monkeypatch):
    monkeypatch.setattr(space, "version", lambda name: version if name == "torch" else "1.2.post1+cpu")
    with pytest.raises(ValueError, match=r"torch 2\..* is no release"):
        space.requirements()
    monkeypatch.setattr(space, "version", lambda name: "5.0.0rc1+cpu")
    assert "torch==5.0.0rc1\n" in space.requirements()


def test_model_in_a_space_has_the_card_that_a_person_wrote_or_none(tmp_path, monkeypatch):
    """That of a repository of its own would load a model from the name of the Space."""
    monkeypatch.setattr(space, "version", lambda name: "1.2")
    model = SSASTForAudioClassification.from_pretrained(nano_model(), id2label={0: "a", 1: "b"})
    model.save_pretrained(tmp_path / "animals")
    SSASTFeatureExtractor.from_pretrained(nano_model()).save_pretrained(tmp_path / "animals")
    space.stage_space(str(tmp_path / "animals"), tmp_path / "space", "org/page", "cc-by-4.0")
    staged = tmp_path / "space" / "models" / "animals"
    assert (staged / "model.safetensors").is_file()
    assert not (staged / "README.md").exists()
    assert not (staged / "examples").exists()
    (tmp_path / "animals" / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    space.stage_space(str(tmp_path / "animals"), tmp_path / "again", "org/page")
    assert (tmp_path / "again" / "models" / "animals" / "README.md").read_text().endswith("Mine.\n")
    assert "license: mit" in (tmp_path / "again" / "README.md").read_text()


def test_what_a_space_has_not_is_told(capsys, monkeypatch):
    assert main(["publish", "--space", "org/page", "--base_model", "org/x"]) == 1
    assert "--base_model is for models" in capsys.readouterr().err
    assert main(["publish", "--repo_id", "org/model"]) == 1
    assert "Which model?" in capsys.readouterr().err
    monkeypatch.setattr(space.importlib.util, "find_spec", lambda name: None)
    assert main(["publish", "--space", "org/page"]) == 1
    assert 'pip install "ssast_hf[app]"' in capsys.readouterr().err


def test_page_that_does_not_start_is_not_published(tmp_path):
    from ssast_hf.hub.fresh_space import answer_elsewhere

    (tmp_path / "app.py").write_text("raise ValueError('no gradio here')")
    with pytest.raises(ValueError, match=r"(?s)does not start in a fresh process:.*no gradio here"):
        answer_elsewhere(tmp_path)


def test_staged_page_starts_answers_and_is_uploaded(hub, publish):
    pytest.importorskip(
        "gradio", reason="gradio is in the extra `app`, beside the newest transformers: make test EXTRAS=dev,app"
    )
    assert "Nothing was uploaded" in publish(WITHOUT_PAGE, "--dry_run")
    assert hub.repositories == {}
    report = publish(COMMAND)
    assert "asked once: largest relative difference" in report
    # Nothing that Python has compiled meanwhile is among them.
    package = [path.relative_to(ASSETS.parent) for path in ASSETS.parent.rglob("*") if path.is_file()]
    staged = [path for path in package if "__pycache__" not in path.parts and path.parts[:2] != ("assets", "nano")]
    assert f"ssast_hf/, {len(staged)} files" in report
    assert hub.repositories["spaces/org/page"].messages == ["initial commit", "Upload the page of ssast-hf app"]
    assert {"app.py", "models/nano/model.safetensors"} <= hub.files("spaces/org/page").keys()
