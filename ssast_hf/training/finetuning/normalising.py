"""Mean and standard deviation of the features of what is trained on."""

from accelerate.utils import broadcast_object_list

from ...audio.audio_datasets import AudioDataset
from ...audio.feature_statistics import mean_and_deviation
from ..messages import say
from ..recipe import read_run
from .clips import LabelledClips


# Of more hours, windows all over them are read.
MOST_HOURS = 10.0


def feature_statistics(
    clips: LabelledClips, extractor, given: tuple[float | None, float | None], checkpoint: str | None, arguments
) -> tuple[float, float]:
    """
    Mean and standard deviation to normalise features by: those that are given, those of the run that goes on, or
    those of what is trained on, measured by one process for all.

    Args:
        clips ([`LabelledClips`]): What is trained on.
        extractor ([`SSASTFeatureExtractor`]): Makes the features.
        given (`tuple`): Both, each a number or `None`.
        checkpoint (`str`, *optional*): What the run goes on from.
        arguments ([`FinetuningArguments`]): Of the run.
    """
    mean, std = given
    if mean is not None and std is not None:
        return mean, std
    known = {} if checkpoint is None else read_run(checkpoint).get("recipe", {})
    if "mean" in known and "std" in known:
        measured = known["mean"], known["std"]
    else:
        found: list = [None]
        if arguments.process_index == 0:
            windows = AudioDataset(clips.data.recordings, clips.cropper)
            workers = arguments.dataloader_num_workers
            found = [mean_and_deviation(windows, extractor, workers, MOST_HOURS)[:2]]
        broadcast_object_list(found)
        measured = found[0]
        say(f"Features of what is trained on: mean {measured[0]:.6g}, standard deviation {measured[1]:.6g}.")
    return measured[0] if mean is None else mean, measured[1] if std is None else std
