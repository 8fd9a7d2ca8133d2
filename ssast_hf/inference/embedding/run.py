"""What the command `embed` does: sources in, parts out that were not there yet."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...assets import named_model
from ...audio.decoding import audio_packages
from ...audio.lengths import measure_one
from ...audio.recordings import as_recording, concatenate, load_recordings
from ...storage.locks import LockedFolder
from ..embedder import Embedder
from ..encoders import sha256_of_weights
from .arrays import SUFFIXES, files_of, write_arrays
from .on_ray import embed_on_ray, ray_package
from .parts import Extent, Origin, check_origin, numbers_in, path_of, read_origin, remove_unfinished
from .work import SKIPPED_LIST, Job, check_place, embed_parts, told_when_full


# What is lost at most when a run is killed, and how many recordings that are at most, unless the user says.
PART_SECONDS, LARGEST_PART = 3 * 3600, 10_000
# So many recordings say how long others are.
SAMPLE = 50


def embed(
    sources: list[str],
    model: str,
    output: str,
    level: str = "clip",
    device: str | None = None,
    num_workers: int | None = None,
    recordings_per_part: int | None = None,
    on_bad_file: str = "skip",
    max_bad_fraction: float = 1.0,
    streaming: bool = False,
    dataset_split: str = "train",
    dataset_config_name: str | None = None,
    audio_column: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    num_actors: int = 1,
    gpus_per_actor: float | None = None,
    **options,
) -> list[str]:
    """
    Embed the recordings of data sets.

    Args:
        sources (`list[str]`): As for [`load_recordings`].
        model (`str`): Folder or name on the Hub, or `nano`.
        output (`str`): A folder of parts, or an `.npz` or `.npy` file.
        level, device: As of the [`Embedder`], and so are the other `options`.
        num_workers (`int`, *optional*): Processes that decode; by default as many as suit the device of the model.
        recordings_per_part (`int`, *optional*): By default as those parts have that are there, or about three hours.
        on_bad_file, max_bad_fraction: `"raise"`, or a share below 1, makes recordings an error that cannot be used.
        streaming, dataset_split, dataset_config_name, audio_column: As for pretraining.
        engine (`str`, defaults to `"local"`): Or `"ray"`.
        ray_address, num_actors, gpus_per_actor: Of Ray.

    Returns:
        `list[str]`: A report.

    Raises:
        ValueError: If there is nothing to embed, an option cannot be, `output` is in use or holds something else, or
            too many recordings cannot be used.
        OSError: If something cannot be read or written.
    """
    audio_packages()  # before the work begins, and not first in a worker
    if engine == "ray" and streaming:
        raise ValueError("--engine ray shares recordings out by their numbers; leave out --streaming.")
    if engine == "ray":
        ray_package()
    target = Path(output) if Path(output).suffix in SUFFIXES else None
    folder = Path(f"{output}.parts" if target else output).resolve()
    for path in files_of(target) if target else [folder]:
        if target and path.exists():
            raise FileExistsError(f"{path} exists. Delete it, or choose another --output.")
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"--output {path} is a file; expected a folder, or a new .npz or .npy file.")
    splits = (dataset_split, dataset_config_name, audio_column)
    recordings = concatenate([load_recordings(source, *splits, streaming) for source in sources])
    # Actors on other machines load the model themselves.
    options |= {"level": level, "device": device}
    name = named_model(model)
    embedder = Embedder(name, **options | {"device": "cpu"} if engine == "ray" else options)
    source = " + ".join(sources)
    with LockedFolder(folder, "--output"):
        remove_unfinished(folder)
        size = size_of_parts(folder, recordings, source) if recordings_per_part is None else recordings_per_part
        if size < 1:
            raise ValueError(f"--recordings_per_part must be at least 1, got {size}.")
        settings = settings_of(embedder, size)
        settings |= dict(zip(("dataset_split", "dataset_config_name", "audio_column"), splits, strict=True))
        job = Job(
            recordings,
            source,
            folder,
            Origin(model, sha256_of_weights(name), settings),
            options,
            num_workers,
            {
                "max_fraction": max_bad_fraction,
                "total": None if streaming else len(recordings),
                "raise_at_once": on_bad_file == "raise",
            },
        )
        there = parts_there(job)
        if engine == "ray":
            made = embed_on_ray(job, missing_parts(job, there), ray_address, num_actors, gpus_per_actor)
        else:
            items = job.streamed_items(there) if streaming else job.items(missing_parts(job, there))
            made = embed_parts(job, embedder, items)
        seconds, count = count_up(made, job, there)
        if target:
            with told_when_full(folder):
                join(folder, target)
        return report_of(seconds, count, sum(len_of(each) for each in there.values()), folder, target)


def settings_of(embedder: Embedder, size: int) -> dict:
    """How an embedder makes the numbers in a part, and how many recordings one has."""
    config, extractor = embedder.encoder.config, embedder.feature_extractor
    shift, length = config.frame_seconds
    step = config.time_stride * shift
    return {
        "level": embedder.level,
        "pooling": embedder.pooling if embedder.level == "clip" else None,
        "layer": embedder.layer,
        "window": round((embedder.window_steps - 1) * step + (config.patch_shape[1] - 1) * shift + length, 6),
        "hop": round(embedder.hop_steps * step, 6),
        "dtype": str(embedder.encoder.dtype).removeprefix("torch."),
        "mean": extractor.mean,
        "std": extractor.std,
        "configuration_sha256": embedder.configuration_sha256,
        "recordings_per_part": size,
    }


def size_of_parts(folder: Path, recordings, source: str) -> int:
    """How many recordings make a part: as many as in parts that are there, or as have about three hours."""
    if numbers := numbers_in(folder):
        return read_origin(path_of(folder, numbers[0]))[0].settings["recordings_per_part"]
    if hasattr(recordings, "__len__"):
        places = np.unique(np.linspace(0, len(recordings) - 1, SAMPLE).astype(int)).tolist()
        sample = [recordings[place] for place in places]
    else:
        sample = [as_recording(row, source, number) for number, row in enumerate(islice(recordings, SAMPLE))]
    seconds = float(np.mean([measure_one(recording, 1000)[0] / 1000 for recording in sample]))
    return min(max(int(PART_SECONDS / max(seconds, 1e-3)), 1), LARGEST_PART)


def parts_there(job: Job) -> dict[int, Extent]:
    """
    The parts that are there and complete. One that was the last, and to which recordings were added, is not.

    Raises:
        ValueError: If they are of another model, other settings or other recordings.
    """
    there = {}
    for number in numbers_in(job.folder):
        path = path_of(job.folder, number)
        origin, extent = read_origin(path)
        check_origin(path, origin, job.origin)
        if not job.is_stream:
            numbers = job.numbers(number)
            if extent.begin != numbers.start or extent.end > numbers.stop:
                raise ValueError(
                    f"{path} was made of recordings {extent.begin + 1} to {extent.end}, and the sources have "
                    f"{len(job.recordings)}. Choose another --output, or delete {job.folder}."
                )
            for place in (extent.begin, extent.end - 1):
                check_place(path, extent, place, job.recordings[place]["name"])
            if extent.end < numbers.stop:
                continue
        there[number] = extent
    return there


def missing_parts(job: Job, there: dict[int, Extent]) -> list[int]:
    count = -(-len(job.recordings) // job.size)
    return [number for number in range(count) if number not in there]


def len_of(extent: Extent) -> int:
    return extent.end - extent.begin


def count_up(made: Iterator[float], job: Job, there: dict[int, Extent]) -> tuple[float, int]:
    """Show progress; returns seconds of audio and number of the recordings that were embedded."""
    seconds, count = 0.0, 0
    with tqdm(
        desc="embedding",
        unit="clip",
        total=None if job.is_stream else len(job.recordings),
        initial=sum(len_of(extent) for extent in there.values()),
        smoothing=0,
        dynamic_ncols=True,
    ) as bar:
        try:
            for each in made:
                seconds += each
                count += each > 0
                bar.update()
        except torch.OutOfMemoryError as error:
            what = str(error).splitlines()[0]
            raise MemoryError(f"Out of memory. Lower --batch_size, or --window. ({what})") from error
    return seconds, count


def join(folder: Path, target: Path):
    """Make one file of the parts, and delete them."""
    write_arrays(folder, target)
    for number in numbers_in(folder):
        path_of(folder, number).unlink()
    if (folder / SKIPPED_LIST).exists():
        (folder / SKIPPED_LIST).replace(list_of(target))


def list_of(target: Path) -> Path:
    """Where the list of bad files is, of a result that is one file."""
    return target.with_name(target.name + SKIPPED_LIST)


def report_of(seconds: float, count: int, count_before: int, folder: Path, target: Path | None) -> list[str]:
    length = f"{seconds / 3600:.4g} hours" if seconds >= 3600 else f"{seconds:.4g} s"
    report = [f"{count:,} recordings, {length}: {target or folder}"]
    if count_before:
        report.append(f"{count_before:,} others were there already")
    skipped = list_of(target) if target else folder / SKIPPED_LIST
    if skipped.exists():
        lines = skipped.read_text(encoding="utf-8").splitlines()
        report.append(f"{len(lines):,} could not be used, or not all of them: see {skipped}")
    return report
