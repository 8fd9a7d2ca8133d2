"""Publishing: from a folder on disk to a repository on the Hub that loads where this package is not installed."""

import tempfile
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.utils import validate_repo_id

from ..storage.urls import check_url
from ..storage.writing import is_model_file
from .fresh_process import verify
from .readme import check_metadata, combine, is_untouched, license_of, read_card, with_keys_of
from .staging import stage_repository


# What an earlier upload of a Space may have left, and what of its card belongs to the files beside it.
SPACE_FOLDERS = ("ssast_hf/", "models/")
# The program of a Space as this package writes it begins with this.
OUR_PROGRAM = '"""The page of `ssast-hf app`'
SPACE_KEYS = ("sdk", "sdk_version", "python_version", "app_file")


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
            wrote, here or in the repository, keeps its text, and its metadata are completed; if there is one in both
            places, the repository's stays.
        repo_id (`str`): `"namespace/name"`; the repository is created if there is none.
        private (`bool`, defaults to `False`): Create it as private; an error if it exists and is public.
        create_pr (`bool`, defaults to `False`): Open a pull request instead of committing.
        revision (`str`, *optional*): Branch to commit to, created if there is none; by default the main one.
        dry_run (`bool`, defaults to `False`): Do everything but upload; needs no token and no connection.
        license (`str`, *optional*): Identifier of the licence of the weights, as the Hub spells it.
        datasets (`list[str]`, *optional*): Data sets on the Hub that it was trained on.
        base_model (`str`, *optional*): Repository of the model that training began from.
        commit_message (`str`): Title of the commit.
        record (`dict`, *optional*): Record of the released checkpoint that it is, as in [`stage_repository`].

    Returns:
        `list[str]`: What was staged, verified and uploaded, and where it is.

    Raises:
        ValueError: If the folder is no complete SSAST model, if the card lacks a licence, or if the staged folder does
            not give the same outputs as `model_dir`.
        OSError: If there is no token, or the Hub refuses or cannot be reached. The repository shows all of the commit
            or nothing, and the same call tries again.
    """
    check_repo_id(repo_id)
    for name in (*(datasets or ()), *([base_model] if base_model else ())):
        validate_repo_id(name)
    api = HfApi()
    if not dry_run:
        check_access(api)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "repository")
        config = stage_repository(model_dir, folder, repo_id, license, datasets, base_model, record)
        difference = verify(model_dir, folder, config)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        report = [f"{size_of(path):>9}  {path.relative_to(folder).as_posix()}" for path in paths]
        report += [f" left out  {name}" for name in left_out(Path(model_dir), folder)]
        verdict = f"Loaded in a fresh process by its own code: largest relative difference {difference:.1e}."
        if dry_run:
            return [*report, "", read_card(folder / "README.md"), verdict, "Nothing was uploaded (dry run)."]
        return [*report, verdict, *upload(api, folder, repo_id, private, create_pr, revision, commit_message)]


def check_repo_id(repo_id: str):
    """ValueError unless it is a namespace and a name as the Hub allows them."""
    if repo_id.count("/") != 1:
        raise ValueError(f"repo_id must be NAMESPACE/NAME, your user name or organisation first; got {repo_id!r}.")
    validate_repo_id(repo_id)


def check_access(api: HfApi):
    """OSError or ValueError if there is no valid token, or if it would travel in the open."""
    check_url(api.endpoint)
    if get_token() is None:
        raise PermissionError("Publishing needs a token that may write: run `hf auth login`, or set HF_TOKEN.")
    with explained(api.endpoint):
        api.whoami()


def upload(
    api: HfApi, folder: Path, repo_id, private, create_pr, revision, commit_message, repo_type="model"
) -> list[str]:
    """
    Create the repository if need be and commit the staged `folder`; arguments and errors as of [`publish`]. With
    `repo_type="space"` it is a Space for gradio.
    """
    kind: dict = {"repo_type": repo_type}
    with explained(f"{api.endpoint}/{'spaces/' if repo_type == 'space' else ''}{repo_id}"):
        sdk = {"space_sdk": "gradio"} if repo_type == "space" else {}
        api.create_repo(repo_id, private=private or None, exist_ok=True, **kind, **sdk)
        if private and not api.repo_info(repo_id, **kind).private:
            raise ValueError(f"{repo_id} exists and is public; nothing was uploaded. Make it private first.")
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True, **kind)
        before = api.repo_info(repo_id, revision=revision, **kind)
        names = api.list_repo_files(repo_id, revision=before.sha, **kind)
        if repo_type == "space" and "app.py" in names:
            check_program(api, repo_id, before.sha)
        notes = keep_card(api, folder / "README.md", repo_id, before.sha, repo_type) if "README.md" in names else []
        commit = api.upload_folder(
            **kind,
            repo_id=repo_id,
            folder_path=folder,
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
            parent_commit=before.sha,  # an error if somebody has changed the repository since
            # Of an earlier upload; what is uploaded now stays.
            delete_patterns=[
                name
                for name in names
                if (
                    name.startswith(SPACE_FOLDERS)
                    if repo_type == "space"
                    else name.startswith("figures/step-") or is_model_file(name)
                )
            ],
        )
    return [*notes, f"Published: {commit.pr_url or commit.commit_url}"]


def check_program(api: HfApi, repo_id: str, revision: str):
    """ValueError if the `app.py` of a Space is not this package's, which an upload would replace."""
    with tempfile.TemporaryDirectory() as scratch:
        options = dict(revision=revision, local_dir=scratch, repo_type="space")
        program = Path(api.hf_hub_download(repo_id, "app.py", **options)).read_bytes()
    if not program.startswith(OUR_PROGRAM.encode()):
        raise ValueError(
            f"app.py in the Space {repo_id} is another program's; nothing was uploaded. Choose another --space, or "
            "delete that file first."
        )


def keep_card(api: HfApi, path: Path, repo_id: str, revision: str, repo_type: str = "model") -> list[str]:
    """
    Replace the staged card at `path` by the repository's, metadata completed, if a person wrote that; returns what to
    say about it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        options = dict(revision=revision, local_dir=scratch, repo_type=repo_type)
        theirs = read_card(Path(api.hf_hub_download(repo_id, "README.md", **options)))
    ours = read_card(path)
    if is_untouched(theirs) or theirs == ours:
        return []
    if repo_type == "space":
        card = with_keys_of(theirs, ours, SPACE_KEYS, f"{repo_id}/README.md")
    else:
        card = combine(theirs, ours, f"{repo_id}/README.md", license_of(ours))
        check_metadata(card, f"{repo_id}/README.md")
    path.write_bytes(card.encode("utf-8"))
    command = "hf upload" + (" --repo-type space" if repo_type == "space" else "")
    return [
        "README.md in the repository was written or edited by a person: its text is kept, its metadata are completed. "
        f"To replace it by a file of yours: {command} {repo_id} README.md README.md"
    ]


@contextmanager
def explained(url: str):
    """Errors of the Hub become OSErrors that say what to do."""
    try:
        yield
    except Exception as error:  # each version of huggingface_hub brings an HTTP library with errors of its own
        if type(error) is ValueError:  # ours
            raise
        raise OSError(explain(error, url)) from error


def explain(error: Exception, url: str) -> str:
    """What went wrong with the repository at `url` and what to do, without the token."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    advice = {
        401: "The Hub does not accept the token: run `hf auth login`, or set HF_TOKEN.",
        403: "The token may not write there: check the namespace, and that the token has the role 'write'.",
        404: "There is no such repository or branch, or the token may not see it.",
        412: "The repository was changed meanwhile: run the command again.",
    }.get(status, "Run the command again; the repository shows all of the commit or nothing.")
    message = str(error).strip() or type(error).__name__
    if not status and error.__cause__ is not None:  # the client says which file failed, its cause why
        message += f" ({error.__cause__})"
    token = get_token()
    return f"Publishing to {url} failed. {advice}\n{message.replace(token, '***') if token else message}"


def size_of(path: Path) -> str:
    """Size of a file for people, such as `1.2 MB`."""
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def left_out(model_dir: Path, folder: Path) -> list[str]:
    """What the model's folder holds that is not published: files by name, folders with a slash."""
    return [
        path.name + "/" * path.is_dir() for path in sorted(model_dir.iterdir()) if not (folder / path.name).exists()
    ]
