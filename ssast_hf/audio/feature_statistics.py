"""Mean and standard deviation of a data set's log-mel features."""

import copy
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset
from tqdm import tqdm

from ..assets import named_model
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..storage.sizes import read_extractor_fields
from ..storage.writing import written_whole
from .audio_datasets import AudioDataset
from .cropping import Cropper
from .decoded import DecodedFiles
from .lengths import measure
from .recordings import load_recordings
from .windows import Stretches


# Bytes on disk for recordings that are decoded as a whole.
MOST_DECODED = 10_000_000_000


def compute_stats(
    train_data,
    model_name_or_path=None,
    write: bool = False,
    max_length: int | None = None,
    num_workers: int = 2,
    dataset_split: str = "train",
    dataset_config_name: str | None = None,
    audio_column: str | None = None,
    max_hours: float = 10.0,
) -> list[str]:
    """
    Mean and population standard deviation over all mel bins of all frames of a data set that are not padding. Long
    recordings are seen through windows of `max_length` frames, as for pretraining.

    Args:
        train_data (`list[str]`): As for pretraining without `--streaming`.
        model_name_or_path (`str`, *optional*): Folder of a model, whose feature extractor is used; the released
            models' if not given.
        write (`bool`, defaults to `False`): Whether to store the result in that folder's feature extractor.
        max_length (`int`, *optional*): Frames per window; the feature extractor's if not given.
        num_workers (`int`, defaults to 2): Processes that read and decode.
        dataset_split, dataset_config_name, audio_column (`str`): As for pretraining.
        max_hours (`float`, defaults to 10): Of more than that, windows are left out, evenly over everything.

    Returns:
        `list[str]`: A report.

    Raises:
        ValueError: If no recording could be used.
        OSError: If the data or the folder cannot be read.
    """
    if write and (model_name_or_path is None or not Path(model_name_or_path).is_dir()):
        raise ValueError(
            "--write needs --model_name_or_path FOLDER, the folder whose feature extractor is to be changed."
        )
    fields = {} if max_length is None else {"max_length": max_length}
    model_name_or_path = None if model_name_or_path is None else named_model(str(model_name_or_path))
    if model_name_or_path is None:
        feature_extractor = SSASTFeatureExtractor(**fields)
    else:
        if Path(model_name_or_path).is_dir():
            read_extractor_fields(model_name_or_path)  # an error if it is not valid
        feature_extractor = SSASTFeatureExtractor.from_pretrained(model_name_or_path, **fields)
    if not max_hours > 0:
        raise ValueError(f"--max_hours must be more than 0, got {max_hours:g}.")
    parts = [load_recordings(source, dataset_split, dataset_config_name, audio_column) for source in train_data]
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(ConcatDataset(parts), feature_extractor, Path(folder))
        mean, std, frames, chosen, skipped = mean_and_deviation(dataset, feature_extractor, num_workers, max_hours)
    report = [f"skipped  {reason}" for reason in skipped.values()]
    report.append(
        f"mean {mean:.7g}, std {std:.7g} over {frames} frames: "
        f"{chosen} of {len(dataset)} windows, spread over {len(dataset.stretches)} recordings of "
        f"{dataset.seconds / 3600:.3g} hours"
    )
    if write:
        changed = SSASTFeatureExtractor.from_pretrained(model_name_or_path, mean=mean, std=std)
        with written_whole(Path(model_name_or_path) / "preprocessor_config.json") as path:
            path.write_text(changed.to_json_string(), encoding="utf-8")
        report.append(f"Written: {model_name_or_path}/preprocessor_config.json")
    return report


def mean_and_deviation(
    dataset: AudioDataset, feature_extractor: SSASTFeatureExtractor, num_workers: int, max_hours: float
) -> tuple[float, float, int, int, dict[str, str]]:
    """
    Mean and standard deviation of the log-mel features of windows; then how many frames and windows were read, and
    what is wrong with the recordings that cannot be.

    Args:
        dataset ([`AudioDataset`]): The windows.
        feature_extractor ([`SSASTFeatureExtractor`]): Makes the features.
        num_workers (`int`): Processes that read and decode.
        max_hours (`float`): Of more than that, windows are left out, evenly over everything.

    Raises:
        ValueError: If no recording can be used, or all are silent.
    """
    total = torch.zeros(3, dtype=torch.float64)
    skipped: dict[str, str] = {}
    chosen = spread(len(dataset), max_hours * 3600 / max(dataset.seconds, 1e-9))
    windows = Subset(FeatureSums(dataset, feature_extractor), chosen)
    loader = DataLoader(windows, batch_size=None, num_workers=num_workers)
    for part, problem in tqdm(loader, desc="features", unit="window"):
        total += part
        skipped |= problem
    count, first, second = total.tolist()
    if not count:
        raise ValueError(f"None of the {len(skipped)} recordings can be used: {next(iter(skipped.values()))}")
    mean = first / count
    std = max(second / count - mean**2, 0.0) ** 0.5
    if std == 0.0:
        raise ValueError("The recordings hold nothing but digital silence; features cannot be normalised.")
    return mean, std, round(count) // feature_extractor.num_mel_bins, len(chosen), skipped


def make_dataset(recordings, feature_extractor: SSASTFeatureExtractor, folder: Path) -> AudioDataset:
    """The windows of recordings; those that have to be decoded as a whole are, into a folder."""
    decoded = DecodedFiles(folder, feature_extractor.sampling_rate)
    cropper = Cropper(feature_extractor, min_frames=1, seed=0, decoded=decoded)
    lengths = measure(recordings, cropper.sampling_rate)
    decoded.choose(recordings, lengths, cropper.windows, MOST_DECODED)
    return AudioDataset(recordings, cropper, Stretches.whole(lengths.samples))


def spread(count: int, share: float) -> list[int]:
    """Indices up to `count`, all of them or a share, at equal distances."""
    chosen = min(max(round(share * count), 1), count)
    return np.floor((np.arange(chosen) + 0.5) * count / chosen).astype(int).tolist()


class FeatureSums(Dataset):
    """Number, sum and sum of squares of each window's log-mel values, and what is wrong with its recording."""

    def __init__(self, dataset: AudioDataset, feature_extractor: SSASTFeatureExtractor):
        self.dataset = dataset
        self.feature_extractor = copy.copy(feature_extractor)
        self.feature_extractor.do_normalize = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, str]]:
        recording, _, _, window = self.dataset.find(0, index)
        try:
            audio = self.dataset.cropper.crop(recording, *window)
        except (ValueError, OSError) as error:
            return torch.zeros(3, dtype=torch.float64), {recording["name"]: str(error)}
        rate = self.feature_extractor.sampling_rate
        features = self.feature_extractor(audio, sampling_rate=rate, padding=False, return_tensors="pt")
        values = features["input_values"].double()
        return torch.stack((torch.tensor(values.numel()).double(), values.sum(), values.square().sum())), {}
