"""The released checkpoints, by name or all of them: fetched, converted, described, verified, published."""

import shutil
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import HfApi
from tqdm import tqdm

from ..checkpoints.download import fetch, forget
from ..checkpoints.origin import read_origin, write_origin
from ..checkpoints.records import released_checkpoints, released_name
from ..configuration_ssast import SSASTConfig
from ..conversion.folders import ConversionError, read_model
from ..conversion.original import write_converted
from ..storage.guards import UnreadableFile
from ..storage.writing import check_output, written_whole
from .cards import NAMESPACE, differences, record_card, record_config, repository_name
from .fresh_process import verify
from .readme import complete, is_untouched, read_card, write_card
from .upload import check_access, check_repo_id
from .upload import publish as publish_folder


README = "README.md"
# Of what the table says about an error; all of it follows.
WIDTH = 80


def convert_checkpoint(checkpoint, output_dir, url=None, overwrite: bool = False, **config_fields) -> list[str]:
    """
    Convert a local file, or a released checkpoint by its name, into a folder; a released one gets its model card.

    Args:
        checkpoint (`str` or `Path`): A `.pth`, or one of the names in `checkpoints.json`, in upper or lower case,
            which is downloaded.
        output_dir, overwrite, config_fields: As in [`convert_original_to_hf`].
        url (`str`, *optional*): Where to download the named checkpoint from instead of its recorded link, or a file
            with it that was got by other means.

    Returns:
        `list[str]`: The audit, and where a named checkpoint is not what its record says.

    Raises:
        FileNotFoundError: If `checkpoint` is neither a file nor such a name.
        ValueError: If a `url` goes with a local file.
        ConversionError, ValueError, OSError: As in [`fetch`] and [`convert_original_to_hf`].
    """
    path, records = Path(checkpoint), released_checkpoints()
    if path.is_file():
        if url is not None:
            raise ValueError(f"{checkpoint} is a local file; a url goes with the name of a released checkpoint.")
        check_output(output_dir, overwrite, source=path)
        with written_whole(output_dir, also_replaced=(README,)) as folder:
            report = write_converted(path, folder, **config_fields)
            keep_persons_card(Path(output_dir), folder)
            return report
    record = records.get(str(checkpoint))
    if record is None and not path.is_dir():
        record = {name.lower(): each for name, each in records.items()}.get(str(checkpoint).lower())
    if record is not None:
        return convert_released(record, output_dir, url, overwrite, **config_fields)
    check_output(output_dir, overwrite)
    if path.is_dir():
        raise IsADirectoryError(f"{checkpoint} is a folder; expected a .pth file or a released checkpoint's name.")
    meant = released_name(str(checkpoint), records)
    raise FileNotFoundError(
        f"{checkpoint} is neither a file nor one of the released checkpoints. "
        + (f"Did you mean {meant}?" if meant else f"These are: {', '.join(records)}.")
    )


def convert_released(record: dict, output_dir, url=None, overwrite=False, repo_id=None, **config_fields) -> list[str]:
    """
    As [`convert_checkpoint`], for the record of a released checkpoint; `repo_id` is the repository that the card
    names. Everything is written into a temporary folder, which takes its place at the end.
    """
    check_output(output_dir, overwrite)
    path, sha256 = fetch(record, url)
    recorded = record_config(record)
    fields = {"objective": record["objective"]} | config_fields
    released_mask = (recorded.num_masked_patches, recorded.num_patches)
    with written_whole(output_dir, also_replaced=(README,)) as folder:
        try:
            report = write_converted(path, folder, released_mask, **fields)
        except ConversionError as error:
            if isinstance(error.__cause__, UnreadableFile):
                forget(path)
            raise
        notes = differences(SSASTConfig.from_pretrained(folder), record)
        if notes:
            keep_persons_card(Path(output_dir), folder)
        else:
            write_origin(folder, record, sha256)
            card = record_card(record, repo_id, sha256)
            (folder / README).write_bytes(complete(Path(output_dir) / README, card))
        return report + [f"note     {note}" for note in notes]


def keep_persons_card(old: Path, new: Path):
    """Take the README.md of the folder `old` over into `new` if a person wrote it; a card of another model is not."""
    readme = old / README
    if not readme.exists():
        return
    try:
        is_ours = is_untouched(read_card(readme))
    except ValueError:  # not even UTF-8, so no program wrote it
        is_ours = False
    if not is_ours:
        shutil.copy2(readme, new / README, follow_symlinks=False)


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
                convert_released(record, folder, overwrite=overwrite, repo_id=repo_ids[name])
            checksum = check_origin(folder, record)
            write_card(folder / README, record_card(record, repo_ids[name], checksum))
            where = finish(folder, repo_ids[name] if publish else None, private, record)
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
    origin, config = read_origin(folder), read_model(folder)[0]  # whoever wrote what was there
    if notes := differences(config, record):
        raise ValueError("; ".join(notes))
    if origin is None or origin["name"] != record["name"]:
        raise ValueError(f"{folder} does not hold the weights of {record['name']} as converted; pass --overwrite.")
    if record.get("sha256") and record["sha256"].lower() != origin["sha256"]:
        raise ValueError(
            f"{folder} was converted from a file with the SHA-256 {origin['sha256']}, the record says "
            f"{record['sha256']}; pass --overwrite."
        )
    return origin["sha256"]


def finish(folder: Path, repo_id: str | None, private: bool, record: dict) -> str:
    """Verify a converted folder and publish it if there is a `repo_id`; returns where it is."""
    if repo_id is None:
        verify(folder, folder, SSASTConfig.from_pretrained(folder))
        return str(folder)
    report = publish_folder(folder, repo_id, private=private, record=record)  # verifies, too
    return report[-1].removeprefix("Published: ")
