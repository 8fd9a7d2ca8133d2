"""The data sets of a run, from the options that name them."""

import math

import datasets
import numpy as np
from torch.utils.data import ConcatDataset, Subset

from ..audio.batches import AudioDataset, AudioStream, Cropper
from ..audio.recordings import load_recordings
from ..configuration_ssast import SSASTConfig
from .arguments import DataArguments, RunArguments


def make_datasets(data: DataArguments, arguments: RunArguments, config: SSASTConfig, feature_extractor):
    """Recordings to train on and to validate on; the latter may be `None`."""
    cropper = Cropper(feature_extractor, config.patch_shape[1], arguments.seed)
    options = (data.dataset_split, data.dataset_config_name, data.audio_column)
    validation = None
    if data.validation_data:
        validation = concatenate([load_recordings(source, *options) for source in data.validation_data])
    train = concatenate([load_recordings(source, *options, data.streaming) for source in data.train_data])
    if data.streaming:
        train = AudioStream(train, cropper, data.shuffle_buffer, arguments.process_index, max(arguments.world_size, 1))
    else:
        if validation is None and (count := math.ceil(data.validation_fraction * len(train))):
            if count == len(train):
                raise ValueError(
                    f"{len(train)} recording is too little to train and validate on; set --validation_fraction 0."
                )
            order = np.random.default_rng(arguments.seed).permutation(len(train))
            validation, train = Subset(train, sorted(order[:count])), Subset(train, sorted(order[count:]))
        train = AudioDataset(train, cropper)
    return train, None if validation is None else AudioDataset(validation, cropper)


def describe(data: DataArguments, train, validation) -> dict:
    """What a run trains on, for its report and the model's card: `hours` and counts are `None` if unknown."""
    seconds = getattr(train, "seconds", None)
    return {
        "sources": list(data.train_data),
        "recordings": None if data.streaming else len(train.recordings),
        "hours": None if seconds is None else seconds / 3600,
        "validation_recordings": None if validation is None else len(validation.recordings),
    }


def concatenate(parts: list):
    """Several sources as one."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], datasets.IterableDataset):
        return datasets.concatenate_datasets(parts)
    return ConcatDataset(parts)
