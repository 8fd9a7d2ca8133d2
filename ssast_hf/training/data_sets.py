"""The data sets of a run, from the options that name them."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..audio.audio_datasets import AudioDataset, AudioStream
from ..audio.cached_features import CachedFeatures
from ..audio.cropping import Cropper
from ..audio.decoded import DecodedFiles
from ..audio.held_out import hold_out
from ..audio.lengths import Lengths, measure
from ..audio.recordings import concatenate, load_recordings
from ..audio.windows import Stretches
from ..configuration_ssast import SSASTConfig
from .arguments import DataArguments, RunArguments
from .messages import say


# In the output folder, during a run.
DECODED = ".decoded"


def make_datasets(data: DataArguments, arguments: RunArguments, config: SSASTConfig, feature_extractor):
    """
    Windows of recordings to train on and to validate on; the latter may be `None`.

    Raises:
        ValueError: If there is nothing to train or to validate on.
        OSError: If data cannot be read.
    """
    decoded = DecodedFiles(Path(arguments.output_dir) / DECODED, feature_extractor.sampling_rate)
    cropper = Cropper(
        feature_extractor,
        config.patch_shape[1],
        arguments.seed,
        data.window_seconds,
        data.window_overlap,
        data.min_level,
        decoded,
    )

    def decode_once(recordings, lengths: Lengths):
        if said := decoded.choose(recordings, lengths, cropper.windows, int(data.max_decoded_gb * 1e9)):
            say(f"{said} See --max_decoded_gb.")

    def cached(recordings, lengths: Lengths, name: str) -> CachedFeatures | None:
        if data.cache_features is None:
            return None
        cache = CachedFeatures(Path(data.cache_features) / name, feature_extractor)
        cache.fill(recordings, lengths.samples, cropper.crop)
        return cache

    options = (data.dataset_split, data.dataset_config_name, data.audio_column)
    validation = None
    if data.validation_data:
        recordings = concatenate([load_recordings(source, *options) for source in data.validation_data])
        lengths = measure(recordings, cropper.sampling_rate)
        check_usable(recordings, lengths, cropper)
        decode_once(recordings, lengths)
        cache = cached(recordings, lengths, "validation")
        validation = AudioDataset(recordings, cropper, Stretches.whole(lengths.samples), cache)
    group_column = None if data.validation_data else data.group_column
    train = [
        load_recordings(source, *options, data.streaming, group_column, data.weight_column)
        for source in data.train_data
    ]
    if data.streaming:
        rank, processes = arguments.process_index, max(arguments.world_size, 1)
        stream = AudioStream(concatenate(train), cropper, data.shuffle_buffer, rank, processes, data.gain_jitter_db)
        return stream, validation
    recordings = concatenate(train)
    lengths = measure(recordings, cropper.sampling_rate)
    decode_once(recordings, lengths)
    cache = cached(recordings, lengths, "training")
    stretches = Stretches.whole(lengths.samples)
    if validation is None and data.validation_fraction and (lengths.samples >= cropper.min_samples).any():
        groups = None if data.group_column is None else [group for part in train for group in part.groups]
        stretches, held_out = hold_out(
            lengths.samples, cropper.windows, data.validation_fraction, arguments.seed, groups
        )
        validation = AudioDataset(recordings, cropper, held_out, cache)
    weights = None
    if data.weight_column is not None:
        weights = np.array([weight for part in train for weight in part.weights])
        stretches = stretches[weights[stretches.recordings] > 0]
        if not len(stretches):
            raise ValueError(f"All recordings to train on have the weight 0 (--weight_column {data.weight_column}).")
    dataset = AudioDataset(recordings, cropper, stretches, cache, data.gain_jitter_db, weights)
    tell(dataset, validation, data)
    return dataset, validation


def tell(train: AudioDataset, validation: AudioDataset | None, data: DataArguments):
    """Say what there is to train and to validate on."""
    seconds = train.cropper.windows.length / train.cropper.sampling_rate
    say(f"To train on: {extent_of(train)}, in windows of {seconds:.4g} s.")
    if validation is not None and validation.recordings is train.recordings:
        is_by_time = np.isin(validation.stretches.recordings, train.stretches.recordings).any()
        how = "the ends of the same recordings, since these are few" if is_by_time else "none of it trained on"
        say(f"To validate on: {extent_of(validation)}, {how}.")
    elif validation is not None:
        say(f"To validate on: {extent_of(validation)}.")
    longest = train.stretches.samples.max() / train.cropper.sampling_rate
    if data.window_seconds is not None and data.window_seconds > longest:
        say(
            f"--window_seconds {data.window_seconds:g} is longer than every recording, up to {longest:.4g} s: each is "
            "one window."
        )


def extent_of(dataset: AudioDataset) -> str:
    count = len(dataset.stretches)
    return f"{count:,} recording{'s' * (count != 1)}, {duration(dataset.seconds)}, {len(dataset):,} clips per epoch"


def duration(seconds: float) -> str:
    """A length of time for people."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.4g} s"


def count_recordings(train: AudioDataset, validation: AudioDataset | None) -> int:
    """How many recordings there are together."""
    if validation is None or validation.recordings is train.recordings:
        return len(train.recordings)
    return len(train.recordings) + len(validation.recordings)


def check_usable(recordings, lengths: Lengths, cropper: Cropper):
    """ValueError if there is nothing to validate on."""
    if (lengths.samples >= cropper.min_samples).any():
        return
    try:
        cropper.crop(recordings[0], 0, cropper.windows.length)
        reason = ""
    except (ValueError, OSError) as error:
        reason = f": {error}"
    raise ValueError(f"None of the {len(recordings)} recordings to validate on can be used{reason}.")


@contextmanager
def without_decoded_files(arguments: RunArguments):
    """A run that leaves no decoded recordings behind, and finds none that an earlier one did."""
    folder = Path(arguments.output_dir) / DECODED
    if arguments.local_process_index == 0:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        if arguments.local_process_index == 0:
            shutil.rmtree(folder, ignore_errors=True)


def describe(data: DataArguments, train, validation) -> dict:
    """What a run trains on, for its report and the model's card: `hours` and counts are `None` if unknown."""
    return {
        "sources": list(data.train_data),
        "recordings": None if data.streaming else len(train.stretches),
        "hours": None if data.streaming else train.seconds / 3600,
        "validation_recordings": None if validation is None else len(validation.stretches),
    }
