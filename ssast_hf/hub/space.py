"""The page of `ssast-hf app` as a Space on the Hub: staged, started and asked once, then uploaded."""

import importlib.util
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import jinja2
from huggingface_hub import HfApi, SpaceCardData
from packaging.version import Version

from ..assets import FOLDER as ASSETS
from ..assets import named_model
from ..storage.guards import writing
from ..storage.reading import find_file
from .fresh_space import verify_space
from .readme import license_of, read_card, sign
from .staging import stage_repository
from .upload import OUR_PROGRAM, check_access, check_repo_id, size_of, upload


# What the page imports, and what each of these needs to be of the versions that were tried.
REQUIREMENTS = (
    "torch transformers huggingface_hub safetensors numpy jinja2 packaging tqdm matplotlib soundfile soxr gradio"
).split()
PROGRAM = (
    OUR_PROGRAM
    + ''' for the model in `{model}`."""

import os

from ssast_hf.app.serving import serve


host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
for line in serve(["{model}"], host=host, port=port):
    print(line, flush=True)
'''
)


def publish_space(
    model_dir: str,
    space: str,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    license: str | None = None,
    commit_message: str = "Upload the page of ssast-hf app",
) -> list[str]:
    """
    Publish the page of a model: stage a folder, start it in a fresh process and ask it once, upload it in one commit.

    Args:
        model_dir (`str`): The folder of a saved SSAST model with its feature extractor, or `nano`.
        space (`str`): `"namespace/name"`; the Space is created if there is none.
        private, create_pr, revision, dry_run, license, commit_message: As of [`publish`].

    Returns:
        `list[str]`: What was staged, asked and uploaded, and where it is.

    Raises:
        ValueError: If the folder is no complete SSAST model, or if the staged page does not start, or answers
            otherwise than this package does.
        OSError: If there is no token, or the Hub refuses or cannot be reached.
        ImportError: If gradio is not installed.
    """
    check_repo_id(space)
    check_gradio()
    api = HfApi()
    if not dry_run:
        check_access(api)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "space")
        stage_space(model_dir, folder, space, license)
        difference = verify_space(named_model(model_dir), folder)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        package = [path for path in paths if path.relative_to(folder).parts[0] == "ssast_hf"]
        report = [
            f"{size_of(path):>9}  {path.relative_to(folder).as_posix()}" for path in paths if path not in package
        ]
        report += [f"{sum(path.stat().st_size for path in package) / 1e6:.1f} MB  ssast_hf/, {len(package)} files"]
        verdict = f"Started in a fresh process and asked once: largest relative difference {difference:.1e}."
        if dry_run:
            return [*report, "", read_card(folder / "README.md"), verdict, "Nothing was uploaded (dry run)."]
        return [*report, verdict, *upload(api, folder, space, private, create_pr, revision, commit_message, "space")]


def check_gradio():
    """ImportError if the page could not be started here."""
    if importlib.util.find_spec("gradio") is None:
        raise ImportError('The page is tried before it is uploaded, which needs gradio: pip install "ssast_hf[app]"')


def stage_space(model_dir: str, folder: Path, space: str, license: str | None = None):
    """
    Write everything that the Space consists of into the new `folder`: the model, this package, a program that starts
    the page, what it needs in the versions that are installed here, and a card. Errors as of [`publish_space`].
    """
    source = Path(named_model(model_dir))
    model = "models/" + (re.sub(r"[^\w.-]", "-", source.resolve().name).strip(".-") or "model")
    stage_repository(source, folder / model, space, license)
    package = ASSETS.parent
    with writing(folder):
        nothing_built = shutil.ignore_patterns("__pycache__")
        bundled = str(ASSETS)
        shutil.copytree(
            package,
            folder / "ssast_hf",
            # The bundled model is a model like others: it is staged if it is the one to show.
            ignore=lambda where, names: {*nothing_built(where, names), *({"nano"} if where == bundled else ())},
        )
        (folder / "app.py").write_text(PROGRAM.format(model=model), encoding="utf-8")
        (folder / "requirements.txt").write_text(requirements(), encoding="utf-8")
        card = render_card(space, model, license_of(read_card(folder / model / "README.md")))
        # What was rendered is for a repository of the model's own; what a person wrote is right here, too.
        (folder / model / "README.md").unlink()
        shutil.rmtree(folder / model / "examples", ignore_errors=True)
        if (written := find_file(source, "README.md")) is not None:
            shutil.copy(written, folder / model)
        (folder / "README.md").write_bytes(card.encode("utf-8"))


def requirements() -> str:
    """
    What to install, line by line, as it is installed here; of a build for some machine the plain one. ValueError if
    something here is no release, which nobody could install elsewhere.
    """
    versions = {name: Version(version(name)) for name in REQUIREMENTS}
    for name, each in versions.items():
        if each.is_devrelease or (each.pre or "b")[0] == "a":
            raise ValueError(
                f"{name} {each} is no release, so a Space cannot install it. Publish from an environment with a "
                "released one."
            )
    return "".join(f"{name}=={each.public}\n" for name, each in versions.items())


def render_card(space: str, model: str, license: str | None) -> str:
    """The README.md of a Space."""
    metadata = SpaceCardData(
        title=space.split("/")[1],
        emoji="🔊",
        colorFrom="purple",
        colorTo="green",
        sdk="gradio",
        sdk_version=version("gradio"),
        python_version=f"{sys.version_info.major}.{sys.version_info.minor}",
        app_file="app.py",
        license=license,
        short_description="Hide parts of a sound, and see what a model makes of it",
        tags=["audio", "ssast"],
    )
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(
        (ASSETS / "space_card.md").read_text(encoding="utf-8")
    )
    return sign(template.render(card_data=metadata.to_yaml(), title=space.split("/")[1], model=model, license=license))
