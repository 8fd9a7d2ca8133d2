"""All released checkpoints in one go: download, convert, verify, write cards, publish."""

import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import HfApi
from tqdm import tqdm

from ..checkpoints.download import fetch
from ..checkpoints.origin import read_origin
from ..checkpoints.records import released_checkpoints
from ..configuration_ssast import SSASTConfig
from ..conversion.original import convert_file, differences
from ..storage.writing import check_output
from .cards import NAMESPACE, record_card, repository_name
from .readme import write_card
from .staging import verify
from .upload import check_access, check_repo_id
from .upload import publish as publish_folder


# Of what the table says about an error; all of it follows.
WIDTH = 80


def convert_all(
    output_dir,
    publish: bool = False,
    namespace: str | None = None,
    private: bool = False,
    checkpoints=None,
    overwrite: bool = False,
) -> Iterator[str]:
    """
    Convert every released checkpoint into a folder of its own, verified in a fresh process and with a model card.

    A folder that is there already is not converted again, but verified, so that the same call goes on where another
    one stopped. A checkpoint that fails does not stop the others.

    Args:
        output_dir (`str` or `Path`): The folder to write them to.
        publish (`bool`, defaults to `False`): Whether each one is published, as `namespace/name`.
        namespace (`str`, *optional*): User or organisation on the Hub.
        private (`bool`, defaults to `False`): Whether repositories are created as private.
        checkpoints (`str` or `Path`, *optional*): A file like the package's `checkpoints.json`, for other links or
            other checkpoints.
        overwrite (`bool`, defaults to `False`): Whether folders that are there are converted again.

    Yields:
        `str`: A table, a line for each checkpoint when it is done, then every error in full.

    Raises:
        ValueError: At the end, if any failed; the lines say why.
    """
    records = released_checkpoints(checkpoints)
    if publish:
        if namespace is None:
            raise ValueError("Publishing needs --namespace, your user name or organisation on the Hub.")
        check_access(HfApi())
    repo_ids = {name: f"{namespace or NAMESPACE}/{repository_name(name)}" for name in records}
    for repo_id in repo_ids.values():
        check_repo_id(repo_id)
    width = max(map(len, records), default=0)
    errors = {}
    yield f"{'checkpoint':{width}}  {'result':9}  {'SHA-256':12}  {'seconds':>7}  where, or why not"
    for name, record in tqdm(records.items(), desc="checkpoints"):
        folder = Path(output_dir) / repository_name(name)
        began, result, checksum = time.perf_counter(), "converted", ""
        try:
            if folder.exists() and not overwrite:
                result = "was there"
            else:
                check_output(folder, overwrite)
                path = fetch(record)
                convert_file(path, folder, record)
            checksum = check_origin(folder, record)
            card = record_card(record, repo_ids[name], checksum)
            where = finish(folder, card, repo_ids[name] if publish else None, private, record)
        except Exception as error:  # whatever it is, the others come next
            errors[name] = str(error).strip() or type(error).__name__
            result, where = "failed", textwrap.shorten(errors[name], WIDTH, placeholder=" ...")
        seconds = time.perf_counter() - began
        yield f"{name:{width}}  {result:9}  {checksum[:12]:12}  {seconds:7.1f}  {where}"
    if errors:
        yield from (f"\n{name}: {error}" for name, error in errors.items())
        raise ValueError(f"{len(errors)} of {len(records)} checkpoints failed: {', '.join(errors)}.")


def check_origin(folder: Path, record: dict) -> str:
    """Checksum of the checkpoint that a folder was converted from; a ValueError unless it is that of the record."""
    origin = read_origin(folder)
    if notes := differences(SSASTConfig.from_pretrained(folder), record):
        raise ValueError("; ".join(notes))
    if origin is None or origin["name"] != record["name"]:
        raise ValueError(f"{folder} does not hold the weights of {record['name']} as converted; pass --overwrite.")
    if record.get("sha256") and record["sha256"].lower() != origin["sha256"]:
        raise ValueError(
            f"{folder} was converted from a file with the SHA-256 {origin['sha256']}, the record says "
            f"{record['sha256']}; pass --overwrite."
        )
    return origin["sha256"]


def finish(folder: Path, card: str, repo_id: str | None, private: bool, record: dict) -> str:
    """Verify a converted folder, write its card, publish it if there is a `repo_id`; returns where it is."""
    write_card(folder / "README.md", card)
    if repo_id is None:
        verify(folder, folder, SSASTConfig.from_pretrained(folder))
        return str(folder)
    report = publish_folder(folder, repo_id, private=private, record=record)  # verifies, too
    return report[-1].removeprefix("Published: ")
