"""Results on disk: written whole or not at all."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from .guards import writing


# What makes up a model's folder, as far as this package writes it. Only these files are ever deleted.
MODEL_FILES = (
    "config.json",
    "preprocessor_config.json",
    "model.safetensors",
    "model-[0-9]*-of-[0-9]*.safetensors",
    "model.safetensors.index.json",
    "modules.json",
    "sentence_bert_config.json",
    "*_ssast.py",
    "original_extras.safetensors",
    "original_checkpoint.json",
    "losses.json",
    "training.json",
)


def check_output(path, overwrite: bool = False, source=None, is_folder: bool = True):
    """
    Raise what would prevent `path` from being written, before any work is done.

    Args:
        path (`str` or `Path`): Where to write.
        overwrite (`bool`, defaults to `False`): Whether a file, or the model in a folder, may be replaced.
        source (`str` or `Path`, *optional*): What is read; it must not be replaced.
        is_folder (`bool`, defaults to `True`): Whether a folder is to be written, or a file.

    Raises:
        FileExistsError: If `path` exists, unless `overwrite`.
        ValueError: If overwriting would replace the source, the current folder, or a file by a folder or the reverse.
        NotADirectoryError, PermissionError: If `path` cannot be created where it is.
    """
    path = resolved(path)
    if path.exists():
        if not overwrite:
            raise FileExistsError(f"{path} exists. Choose another place, or pass --overwrite to replace it.")
        origin = None if source is None else resolved(source)
        # A model's folder may have others in it, such as one for onnxruntime.
        is_part = origin is not None and origin in path.parents and not is_folder
        if origin is not None and (is_part or path in (origin, *origin.parents)):
            raise ValueError(f"{path} is, or holds, or is part of the input {source}; choose another place.")
        if path in (Path.cwd(), *Path.cwd().parents):
            raise ValueError(f"{path} is, or holds, the current folder; run the command from elsewhere.")
        if not (path.is_dir() if is_folder else path.is_file()):
            raise ValueError(f"{path} is no {'folder' if is_folder else 'file'}, so it is not replaced.")
        if is_folder and not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(f"{path} cannot be replaced: no permission to write in it.")
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise NotADirectoryError(f"{path} cannot be written: {parent} is not a folder.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written: no permission to write in {parent}.")


def resolved(path) -> Path:
    """The path without links; an OSError if they lead back to themselves."""
    try:
        target = Path(path).resolve()
        is_loop = target.is_symlink()
    except RuntimeError:  # before Python 3.13
        is_loop = True
    if is_loop:
        raise OSError(f"{path} is a link that leads back to itself. Remove it, or choose another place.")
    return target


def is_model_file(name: str) -> bool:
    """Whether a file of this name can belong to a model's folder as this package writes it."""
    return "/" not in name and any(fnmatch(name, pattern) for pattern in MODEL_FILES)


@contextmanager
def written_whole(path, also_replaced: tuple[str, ...] = ()):
    """
    Write a file or folder whole or not at all, after [`check_output`] allowed it.

    Yields a path inside a new temporary folder beside `path`. What the caller wrote there is moved to `path` in one
    step at the end; after an exception nothing is left, and whatever was at `path` is untouched. Of a folder that was
    there before, the model's files and those called as in `also_replaced` are replaced; anything else in it is kept.

    Raises:
        OSError: If the disk is full, with what is free; whatever the caller raises, as it is.
    """
    path = resolved(path)
    missing = [parent for parent in path.parents if not parent.exists()]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield workshop / path.name
            if path.is_dir():
                replace_folder(path, workshop / path.name, workshop / "replaced", also_replaced)
            else:
                os.replace(workshop / path.name, path)
        except BaseException:
            if not (workshop / "replaced").exists():  # unless what is to be kept could not be moved back
                shutil.rmtree(workshop, ignore_errors=True)
            for parent in missing:
                parent.rmdir()
            raise
        shutil.rmtree(workshop)


def replace_folder(path: Path, new: Path, aside: Path, also_replaced: tuple[str, ...] = ()):
    """Put `new` in the place of `path`; what the latter held moves to `aside`, except for what is to be kept."""
    kept = [
        entry.name
        for entry in path.iterdir()
        if entry.is_dir() or not (is_model_file(entry.name) or entry.name in also_replaced)
    ]
    if clash := [name for name in kept if (new / name).exists()]:
        raise FileExistsError(f"{path / clash[0]} is in the way; move it elsewhere.")
    os.rename(path, aside)
    try:
        os.rename(new, path)
    except BaseException:
        os.rename(aside, path)
        raise
    for name in kept:
        os.rename(aside / name, path / name)
    shutil.rmtree(aside)
