"""Mean and standard deviation of a data set's log-mel features."""

import copy
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..assets import named_model
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..storage.sizes import read_extractor_fields
from ..storage.writing import written_whole
from .batches import Cropper
from .recordings import load_recordings


def compute_stats(
    train_data,
    model_name_or_path=None,
    write: bool = False,
    max_length: int | None = None,
    num_workers: int = 2,
    dataset_split: str = "train",
    dataset_config_name: str | None = None,
    audio_column: str | None = None,
) -> list[str]:
    """
    Mean and population standard deviation over all mel bins of all frames of a data set that are not padding,
    each clip cut to its first `max_length` frames.

    Args:
        train_data (`list[str]`): As for pretraining without `--streaming`.
        model_name_or_path (`str`, *optional*): Folder of a model, whose feature extractor is used; the released
            models' if not given.
        write (`bool`, defaults to `False`): Whether to store the result in that folder's feature extractor.
        max_length (`int`, *optional*): Frames per clip; the feature extractor's if not given.
        num_workers (`int`, defaults to 2): Processes that read and decode.
        dataset_split, dataset_config_name, audio_column (`str`): As for pretraining.

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
    total = torch.zeros(3, dtype=torch.float64)
    skipped: dict[str, str] = {}
    for source in train_data:
        recordings = load_recordings(source, dataset_split, dataset_config_name, audio_column)
        sums = FeatureSums(recordings, feature_extractor)
        loader = DataLoader(sums, batch_size=None, num_workers=num_workers)
        for part, problem in tqdm(loader, desc=source, unit="clip"):
            total += part
            skipped |= problem
    count, first, second = total.tolist()
    if not count:
        raise ValueError(f"None of the {len(skipped)} recordings can be used: {next(iter(skipped.values()))}")
    mean = first / count
    std = max(second / count - mean**2, 0.0) ** 0.5
    report = [f"skipped  {reason}" for reason in skipped.values()]
    report.append(f"mean {mean:.7g}, std {std:.7g} over {round(count) // feature_extractor.num_mel_bins} frames")
    if std == 0.0:
        raise ValueError("The recordings hold nothing but digital silence; features cannot be normalised.")
    if write:
        changed = SSASTFeatureExtractor.from_pretrained(model_name_or_path, mean=mean, std=std)
        with written_whole(Path(model_name_or_path) / "preprocessor_config.json") as path:
            path.write_text(changed.to_json_string(), encoding="utf-8")
        report.append(f"Written: {model_name_or_path}/preprocessor_config.json")
    return report


class FeatureSums(Dataset):
    """Number, sum and sum of squares of each recording's log-mel values, and what is wrong with it."""

    def __init__(self, recordings, feature_extractor: SSASTFeatureExtractor):
        self.recordings = recordings
        self.feature_extractor = copy.copy(feature_extractor)
        self.feature_extractor.do_normalize = False
        self.cropper = Cropper(feature_extractor, min_frames=1, seed=0)

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, str]]:
        recording = self.recordings[index]
        try:
            audio = self.cropper.crop(recording, position=0.0)
        except (ValueError, OSError) as error:
            return torch.zeros(3, dtype=torch.float64), {recording["name"]: str(error)}
        rate = self.feature_extractor.sampling_rate
        features = self.feature_extractor(audio, sampling_rate=rate, padding=False, return_tensors="pt")
        values = features["input_values"].double()
        return torch.stack((torch.tensor(values.numel()).double(), values.sum(), values.square().sum())), {}
