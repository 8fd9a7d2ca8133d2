"""From a folder on disk to a repository on the Hub that loads where this package is not installed."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import torch
import transformers
from huggingface_hub import HfApi, get_token
from huggingface_hub.utils import validate_repo_id
from safetensors.torch import load_file

from . import load_folder
from .cards import check_metadata, is_untouched, read_metadata, record_card, render_card, write_card
from .configuration_ssast import AUTO_MAP, SSASTConfig
from .download import check_url, released_checkpoints
from .feature_extraction_ssast import SSASTFeatureExtractor
from .files import MODEL_FILES
from .model_folders import load_ssast_folder


# What a published repository holds besides the card, the licences, the code and the figures.
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json", "original_extras.safetensors")
# The same input in another process: sums may round otherwise, nothing more. Relative to an output's largest number.
TOLERANCE = 1e-4


def publish(
    model_dir,
    repo_id: str,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    license: str | None = None,
    datasets: list[str] | None = None,
    base_model: str | None = None,
    commit_message: str = "Upload SSAST model",
    record: dict | None = None,
) -> list[str]:
    """
    Publish a saved SSAST model: stage a clean folder, verify it in a fresh process, upload it in one commit.

    Args:
        model_dir (`str` or `Path`): A folder of an [`SSASTModel`], [`SSASTForPretraining`] or
            [`SSASTForAudioClassification`] with its feature extractor; it is not changed. A README.md that a person
            wrote, here or in the repository, keeps its text, and its metadata are completed.
        repo_id (`str`): `"namespace/name"`; the repository is created if there is none.
        private (`bool`, defaults to `False`): Create it as private; an error if it exists and is public.
        create_pr (`bool`, defaults to `False`): Open a pull request instead of committing.
        revision (`str`, *optional*): Branch to commit to, created if there is none; by default the main one.
        dry_run (`bool`, defaults to `False`): Do everything but upload; needs no token and no connection.
        license, datasets, base_model: For the card, as in [`cards.render_card`].
        commit_message (`str`): Title of the commit.
        record (`dict`, *optional*): Record of the released checkpoint that it is; by default found by its card.

    Returns:
        `list[str]`: What was staged, verified and uploaded, and where it is.

    Raises:
        ValueError: If the folder is no complete SSAST model, if the card lacks a licence, or if the staged folder does
            not give the same outputs as `model_dir`.
        OSError: If there is no token, or the Hub refuses or cannot be reached. Nothing of the commit is visible then,
            and another try begins anew.
    """
    check_repo_id(repo_id)
    api = HfApi()
    if not dry_run:
        check_access(api)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "repository")
        config = stage(model_dir, folder, repo_id, license, datasets, base_model, record)
        difference = verify(model_dir, folder, config)
        report = [f"{size_of(path):>9}  {path.relative_to(folder).as_posix()}" for path in listed(folder)]
        report += [f"left out   {name}" for name in left_out(model_dir, folder)]
        report.append(
            f"Loaded in a fresh process by its own code: largest relative difference of any output {difference:.1e}."
        )
        if dry_run:
            return [*report, "", (folder / "README.md").read_text(encoding="utf-8"), "Nothing was uploaded (dry run)."]
        return [*report, *upload(api, folder, repo_id, private, create_pr, revision, commit_message)]


def check_access(api: HfApi):
    """OSError or ValueError if there is no token, or if it would travel in the open."""
    check_url(api.endpoint)
    if get_token() is None:
        raise PermissionError("Publishing needs a token that may write: run `hf auth login`, or set HF_TOKEN.")


def check_repo_id(repo_id: str):
    """ValueError unless it is a namespace and a name as the Hub allows them."""
    if repo_id.count("/") != 1:
        raise ValueError(f"repo_id must be NAMESPACE/NAME, your user name or organisation first; got {repo_id!r}.")
    validate_repo_id(repo_id)


def stage(model_dir, folder: Path, repo_id: str, license=None, datasets=None, base_model=None, record=None):
    """
    Write everything that a repository consists of, and nothing else of `model_dir`, into the new `folder`.

    Returns:
        [`SSASTConfig`]: The configuration, which names the class of the model.
    """
    model_dir = Path(model_dir)
    config, state = load_ssast_folder(model_dir)
    config.architectures = [architecture(state)]
    del state
    if not (model_dir / "preprocessor_config.json").exists():
        raise ValueError(
            f"{model_dir} has no preprocessor_config.json. Save the model's feature extractor beside it: "
            "SSASTFeatureExtractor(...).save_pretrained(folder)."
        )
    feature_extractor = SSASTFeatureExtractor.from_pretrained(model_dir)
    if feature_extractor.num_mel_bins != config.num_mel_bins:
        raise ValueError(
            f"preprocessor_config.json has num_mel_bins={feature_extractor.num_mel_bins}, config.json "
            f"{config.num_mel_bins}: this feature extractor does not belong to this model."
        )
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    feature_extractor.save_pretrained(folder)
    for pattern in WEIGHTS:
        for path in model_dir.glob(pattern):
            shutil.copy(path, folder)
    for path in Path(__file__).parent.glob("*_ssast.py"):
        shutil.copy(path, folder)
    assets = Path(str(files(__package__))) / "assets"
    shutil.copy(assets / "LICENSE", folder)
    figures = copy_figures(model_dir, folder)

    record = record or released_record(model_dir)
    if record is not None:
        if license or datasets or base_model:
            raise ValueError(
                f"{model_dir} holds {record['name']}, whose card names its authors' licence and data; leave out "
                "license, datasets and base_model, or write a README.md of your own there first."
            )
        shutil.copy(assets / "LICENSE.SSAST", folder)
        card = record_card(record, repo_id)
    else:
        rate = feature_extractor.sampling_rate
        card = render_card(config, repo_id, None, license, datasets, base_model, rate, tuple(figures))
    if (model_dir / "README.md").exists():
        shutil.copy(model_dir / "README.md", folder)
    complete_card(folder / "README.md", card, license)
    check_metadata(folder / "README.md")
    return config


def architecture(state: dict[str, torch.Tensor]) -> str:
    """Name of the class whose weights these are."""
    if any(key.startswith("classifier.") for key in state):
        return "SSASTForAudioClassification"
    return "SSASTForPretraining" if any(key.startswith("reconstruction_head.") for key in state) else "SSASTModel"


def copy_figures(model_dir: Path, folder: Path) -> list[str]:
    """Pictures beside the model, and of those drawn during training the last; returns their names there."""
    names = sorted(path.name for path in model_dir.glob("*.png"))
    drawn = sorted((model_dir / "figures").glob("step-*.png"))
    names += [f"figures/{path.name}" for path in drawn if path.name[:12] == drawn[-1].name[:12]]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(model_dir / name, folder / name)
    return names


def released_record(model_dir: Path) -> dict | None:
    """The record of the released checkpoint that a folder holds, if its card says so and nobody has edited that."""
    path = model_dir / "README.md"
    if not path.exists() or not is_untouched(path.read_text(encoding="utf-8")):
        return None
    return released_checkpoints().get(read_metadata(path).get("model_name"))


def complete_card(path: Path, card: str, license: str | None):
    """Write the card, or complete the metadata of one that a person wrote; a ValueError if they contradict."""
    theirs = read_metadata(path).get("license") if path.exists() else None
    is_theirs = path.exists() and not is_untouched(path.read_text(encoding="utf-8"))
    if is_theirs and license and theirs and theirs != license:
        raise ValueError(f"README.md states the license {theirs}, --license says {license}. Change one of them.")
    write_card(path, card)


def verify(model_dir, folder: Path, config: SSASTConfig) -> float:
    """
    Load the staged `folder` in a process in which this package cannot be imported, with the code in it, and compare
    what it computes with what this package makes of `model_dir`; returns the largest difference,
    relative to the largest number of each output.
    """
    auto_class = next(name for name, target in AUTO_MAP.items() if target.endswith("." + config.architectures[0]))
    model = getattr(transformers, auto_class).from_pretrained(model_dir, dtype=torch.float32)
    expected = load_folder.outputs_of(model, SSASTFeatureExtractor.from_pretrained(model_dir))
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "outputs.safetensors")
        # A home of its own, so that no code of an earlier model of this name is there; no token, no network.
        environment = os.environ | {"HF_HOME": scratch, "HF_MODULES_CACHE": scratch, "HF_HUB_OFFLINE": "1"}
        environment.pop("HF_TOKEN", None)
        script = Path(load_folder.__file__).read_text(encoding="utf-8")
        command = [sys.executable, "-c", script, str(Path(folder).resolve()), auto_class, str(output)]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=scratch)
        if result.returncode:
            raise ValueError(f"The staged folder does not load in a fresh process:\n{result.stderr.strip()}")
        outputs = load_file(output)
    if outputs.keys() != expected.keys():
        raise ValueError(f"The staged folder gives {sorted(outputs)}, expected {sorted(expected)}.")
    differences = {}
    for name, values in expected.items():
        difference = (outputs[name] - values).abs().max() / values.abs().max().clamp(min=1e-30)
        differences[name] = difference.item()
        if not difference <= TOLERANCE:  # NaN, too
            raise ValueError(f"{name} of the staged folder differs by {difference:.1e} (relative) from {model_dir}'s.")
    return max(differences.values())


def upload(api: HfApi, folder: Path, repo_id, private, create_pr, revision, commit_message) -> list[str]:
    """Create the repository if need be and commit the staged `folder`; returns where it is."""
    try:
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        before = api.repo_info(repo_id, revision=revision)
        if private and not before.private:
            raise ValueError(f"{repo_id} exists and is public; nothing was uploaded. Make it private first.")
        if keep_card(api, folder / "README.md", repo_id, before.sha):
            kept = ["README.md of the repository was written by a person: its text is kept, its metadata completed."]
        else:
            kept = []
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
            parent_commit=before.sha,  # an error if somebody has changed the repository since
            delete_patterns=[*MODEL_FILES, "figures/step-*.png"],  # of an earlier upload; files uploaded now stay
        )
    except ValueError:
        raise
    except Exception as error:  # each version of huggingface_hub brings an HTTP library with errors of its own
        raise OSError(explain(error, repo_id)) from error
    return [*kept, f"Published: {commit.pr_url or commit.commit_url}"]


def keep_card(api: HfApi, path: Path, repo_id: str, revision: str) -> bool:
    """Replace the staged card at `path` by the repository's, metadata completed, if a person wrote that."""
    if "README.md" not in api.list_repo_files(repo_id, revision=revision):
        return False
    with tempfile.TemporaryDirectory() as scratch:
        theirs = Path(api.hf_hub_download(repo_id, "README.md", revision=revision, local_dir=scratch))
        if is_untouched(theirs.read_text(encoding="utf-8")):
            return False
        write_card(theirs, path.read_text(encoding="utf-8"))
        shutil.copy(theirs, path)
    check_metadata(path)
    return True


def explain(error: Exception, repo_id: str) -> str:
    """What went wrong at the Hub and what to do, without the token."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    advice = {
        401: "The Hub does not accept the token: run `hf auth login`, or set HF_TOKEN.",
        403: "The token may not write there: check the namespace, and that the token has the role 'write'.",
        404: "There is no such repository or branch, or the token may not see it.",
        412: "The repository was changed meanwhile: run the command again.",
    }.get(status, "Run the command again; nothing of this try is visible.")
    message = str(error).strip() or type(error).__name__
    if status is None and error.__cause__ is not None:  # the client says which file failed, its cause why
        message += f" ({error.__cause__})"
    token = get_token()
    return f"Publishing {repo_id} failed. {advice}\n{message.replace(token, '***') if token else message}"


def listed(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def size_of(path: Path) -> str:
    """Size of a file for people, such as `1.2 MB`."""
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def left_out(model_dir, folder: Path) -> list[str]:
    """What the model's folder holds that is not published: files by name, folders with a slash."""
    return [
        path.name + "/" * path.is_dir()
        for path in sorted(Path(model_dir).iterdir())
        if not (folder / path.name).exists()
    ]
