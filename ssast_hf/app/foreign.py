"""Models that bring code of their own: what would run, and, if that is allowed, what they say of a recording."""

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from ..inference.clips import AudioFile
from ..inference.encoders import on_device, quiet_loading
from ..inference.predicting.answers import Answer
from ..inference.predicting.heads import LABELS
from ..storage.guards import reading
from .sounds import is_silent
from .windows import reader_of


CLASSIFIER = "AutoModelForAudioClassification"
# Seconds that are heard together.
WINDOW = 10
REMEDY = "Ask those who wrote it, or copy or download the model again."


def code_of(*configurations: dict) -> str:
    """Which classes of which files the configurations of a model name as their own, for people; empty if none."""
    values = [value for fields in configurations for value in (fields.get("auto_map") or {}).values()]
    named = (value for each in values for value in (each if isinstance(each, (list, tuple)) else [each]))
    targets = sorted({str(value) for value in named if value})
    return ", ".join(f"{name} in {file}.py" for file, _, name in (target.rpartition(".") for target in targets))


class ForeignClassifier:
    """
    A classifier of clips whose code comes with it. That code runs: only for models that a person trusts.

    Args:
        name (`str`): A folder, or a name on the Hub.
        device (`torch.device`): Where it computes.

    Raises:
        ValueError: If it does not load, or is no classifier of audio.
    """

    kind = LABELS

    def __init__(self, name: str, device: torch.device):
        with reading(name, "a classifier of audio for transformers", REMEDY), quiet_loading():
            self.feature_extractor = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=True)
            model = AutoModelForAudioClassification.from_pretrained(name, dtype=torch.float32, trust_remote_code=True)
        self.model = on_device(model, device)
        self.is_multilabel = model.config.problem_type == "multi_label_classification"

    def answer(self, clip: AudioFile, count: int, progress) -> tuple[list[Answer], bool]:
        """
        The likeliest classes of each window of ten seconds, the last one of which begins earlier, to be as long as
        these; and whether all of it is silence.
        """
        rate = self.feature_extractor.sampling_rate
        size, rows, is_quiet = WINDOW * rate, [], True
        with reader_of(clip, -(-clip.num_samples // size)) as read:
            for start in range(0, clip.num_samples, size):
                end = min(start + size, clip.num_samples)
                begin = max(end - size, 0)
                samples = clip.read(begin, end, read)
                is_quiet = is_quiet and is_silent(samples)
                scores = self.scores(samples, clip.name)
                for label in np.argsort(-scores, kind="stable")[:count].tolist():
                    name = self.model.config.id2label[label]
                    rows.append(Answer(begin / rate, end / rate, name, float(scores[label])))
                progress(end / clip.num_samples)
        return rows, is_quiet

    @torch.inference_mode()
    def scores(self, samples: np.ndarray, name: str) -> np.ndarray:
        """Probabilities (num_labels,); if a clip may have several labels, of each by itself."""
        with reading(name, "what this model takes", "Take another clip."):
            rate = self.feature_extractor.sampling_rate
            inputs = self.feature_extractor(samples, sampling_rate=rate, return_tensors="pt")
            logits = self.model(**inputs.to(self.model.device)).logits[0].float()
            return (logits.sigmoid() if self.is_multilabel else logits.softmax(dim=0)).cpu().numpy()
