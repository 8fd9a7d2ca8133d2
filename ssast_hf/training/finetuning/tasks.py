"""What fine-tuning is for: of each task its labels, its head, its loss, its figures and its mistakes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from ...audio.intervals import Measure
from ...audio.labelled import LabelledData
from ...audio.labels import Event
from ..messages import say
from .clips import NONE, WholeLabels
from .events import THRESHOLDS, Clock, StepLabels, counts_of, f1_of
from .figures import of_classes, of_numbers, of_several
from .texts import check_gaps, check_jiwer, encode, errors_of, make_tokenizer, rates_of, read_tokenizer, spaced


# From where on numbers are too large for a new head.
FAR = 5.0
# A mistake: how bad it is, what is true, and what the model says; `None` of what is right.
Mistake = tuple[float, str, str]


class Task:
    """
    What the tasks share; an instance belongs to one run.

    Args:
        loss (`str`): `"cross_entropy"` or `"binary_cross_entropy"`, where both are possible.
        smoothing (`float`): How much of a label is spread over all classes.
    """

    head = "SSASTForAudioClassification"
    figures: tuple[str, ...] = ("accuracy", "macro_f1")  # that a validation has besides the loss
    best = "accuracy"  # by which of them the result is chosen
    fits_whole = False  # whether a recording has to be used as a whole
    max_grad_norm = 0.0  # at which gradients are clipped unless the command says so; 0 for not at all
    tokenizer: Any = None

    def __init__(self, loss: str = "cross_entropy", smoothing: float = 0.0):
        self.is_binary = loss == "binary_cross_entropy"
        self.smoothing = smoothing
        self.names: list[str] = []
        self.config: Any = None  # the model's

    def begin(self, start: str, config, train: LabelledData):
        """
        Learn which classes or characters there are.

        Args:
            start (`str`): The model to begin from.
            config ([`SSASTConfig`]): Its configuration.
            train ([`LabelledData`]): What is trained on.
        """
        self.names = train.names

    def check(self, data: LabelledData):
        """ValueError if the task, after `begin`, cannot be trained or tested on the labels of `data`; with the row."""

    def classes(self) -> list[str]:
        """What the outputs of the model stand for, in their order; nothing of a number."""
        return self.names

    def is_of_head(self, config) -> bool:
        """Whether the head of a model of this configuration is for the same classes in the same order."""
        return not self.names or list(config.id2label.values()) == self.names

    def fields(self) -> dict:
        """Fields of the model's configuration."""
        names = dict(enumerate(self.names or ["value"]))
        return {"id2label": names, "label2id": {name: i for i, name in names.items()}}

    def settle(self, validation: dict | None) -> bool:
        """
        Learn what the validation of the chosen weights has found, an entry of `log_history`, or `None` without one.
        Returns whether the model's configuration has changed by that.
        """
        return False

    def notes(self) -> list[str]:
        """What else a report should say."""
        return []

    def labels(self, data: LabelledData, feature_extractor) -> Callable[[int, float, int], np.ndarray]:
        """From a recording, the second where a clip begins and its samples to its label."""
        return WholeLabels(data.targets())

    @property
    def has_own_loss(self) -> bool:
        """Whether the model's own loss would be another one."""
        return self.is_binary or self.smoothing > 0

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of logits (B, C) and labels, which may be soft."""
        logits = logits.float()
        if not self.is_binary:
            return cross_entropy(logits, labels, label_smoothing=self.smoothing)
        labels = self.soft(labels) if labels.ndim < 2 else labels
        return binary_cross_entropy_with_logits(logits, labels * (1 - self.smoothing) + self.smoothing / 2)

    def soft(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels as numbers that can be mixed: of classes (B,) one column each, float32."""
        return labels if labels.is_floating_point() else one_hot(labels, len(self.names)).float()

    def kept(self, logits, labels) -> torch.Tensor:
        """What is kept of the outputs of a batch to measure."""
        return logits[0] if isinstance(logits, tuple) else logits

    def measure(self, scores: np.ndarray, targets: np.ndarray) -> Measure:
        """Makes the figures, of what was kept and the labels."""
        return of_classes(scores, targets)

    def measure_test(self, scores: np.ndarray, targets: np.ndarray, test: LabelledData) -> Measure:
        """The same for a test, of whose recordings more may be known."""
        return self.measure(scores, targets)

    def mistakes(self, scores: np.ndarray, targets: np.ndarray, test: LabelledData) -> list[Mistake | None]:
        """What is wrong about each recording of a test."""
        probabilities, said = softmax(scores), scores.argmax(axis=1)
        return [
            None
            if said[i] == targets[i]
            else (float(row[said[i]]), test.labels[i], f"{self.names[said[i]]} ({row[said[i]]:.2f})")
            for i, row in enumerate(probabilities)
        ]

    def by_class(self, scores: np.ndarray, targets: np.ndarray, test: LabelledData | None = None) -> list[list[str]]:
        """A table of the classes, its head first. What else is known of a test is of use for events alone."""
        from sklearn.metrics import precision_recall_fscore_support  # here, as in figures.py

        said = scores > 0 if targets.ndim == 2 else scores.argmax(axis=1)
        if targets.ndim == 2:
            # With another column, always 0: of one alone, its two values would be taken for classes.
            said, targets = (np.pad(each > 0, ((0, 0), (0, 1))) for each in (said, targets))
        columns = precision_recall_fscore_support(targets, said, labels=np.arange(len(self.names)), zero_division=0)
        rows = [
            [name, *(f"{value:.3f}" for value in values), str(count)]
            for name, *values, count in zip(self.names, *columns, strict=True)
        ]
        return [["class", "precision", "recall", "F1", "clips"], *rows]

    def confusion(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        """How many clips of each class (rows) were taken for which (columns), if they have one each."""
        from sklearn.metrics import confusion_matrix  # here, as in figures.py

        if targets.ndim != 1 or not self.names:
            return None
        return confusion_matrix(targets, scores.argmax(axis=1), labels=np.arange(len(self.names)))


class Classification(Task):
    """One class of each recording."""

    def fields(self) -> dict:
        # Whatever the loss: a recording has one class, and so does an answer.
        return super().fields() | {"problem_type": "single_label_classification"}


class Multilabel(Task):
    """Any number of classes of each recording."""

    figures, best = ("mean_average_precision", "roc_auc"), "mean_average_precision"

    def __init__(self, loss: str = "cross_entropy", smoothing: float = 0.0):
        super().__init__("binary_cross_entropy", smoothing)

    def fields(self) -> dict:
        return super().fields() | {"problem_type": "multi_label_classification"}

    def measure(self, scores, targets) -> Measure:
        return of_several(scores, targets)

    def mistakes(self, scores, targets, test) -> list[Mistake | None]:
        there = scores > 0
        cost = np.logaddexp(0, np.where(targets > 0, -scores, scores)).max(axis=1)
        return [
            None
            if (row == (target > 0)).all()
            else (float(cost[i]), in_words(test.labels[i]), in_words([self.names[j] for j in np.flatnonzero(row)]))
            for i, (row, target) in enumerate(zip(there, targets, strict=True))
        ]


class Regression(Task):
    """A number of each recording."""

    figures, best = ("mean_absolute_error", "mean_squared_error", "r2"), "loss"

    def begin(self, start, config, train):
        self.train = train

    def check(self, data):
        mean, deviation = np.mean(data.labels), np.std(data.labels)
        if data is self.train and max(abs(mean), deviation) > FAR:
            say(
                f"{data.source}: the numbers are {mean:.4g} in the mean, with a deviation of {deviation:.4g}. A new "
                "head begins near 0 and learns numbers of about 1 best: subtract the mean, divide by the deviation."
            )

    def fields(self) -> dict:
        return super().fields() | {"problem_type": "regression"}

    def measure(self, scores, targets) -> Measure:
        return of_numbers(scores, targets)

    def mistakes(self, scores, targets, test) -> list[Mistake | None]:
        said = scores.reshape(-1)
        return [
            (float(abs(a - b)), f"{a:.4g}", f"{b:.4g}") if a != b else None for a, b in zip(targets, said, strict=True)
        ]

    @property
    def has_own_loss(self) -> bool:
        return False


class Speaker(Task):
    """Who speaks."""

    head = "SSASTForXVector"

    def mistakes(self, scores, targets, test) -> list[Mistake | None]:
        return super().mistakes(self.config.am_softmax_scale * scores, targets, test)


class Transcription(Task):
    """What is said, in characters."""

    head, fits_whole = "SSASTForCTC", True
    figures, best = ("word_error_rate", "character_error_rate"), "word_error_rate"
    # The first gradients are a hundred times as large as later ones: the mean of their squares would hold Adam back
    # for a thousand steps, and the model would answer with blanks.
    max_grad_norm = 1.0

    def begin(self, start, config, train):
        check_jiwer()
        self.known = read_tokenizer(start, config)
        if self.known is None:
            check_gaps(train)
        self.tokenizer = self.known or make_tokenizer(train.labels)

    def classes(self) -> list[str]:
        numbers = self.tokenizer.get_vocab()
        return sorted(numbers, key=numbers.__getitem__)

    def is_of_head(self, config) -> bool:
        return self.known is not None

    def fields(self) -> dict:
        return {"vocab_size": len(self.tokenizer), "pad_token_id": self.tokenizer.pad_token_id}

    def check(self, data):
        encode(self.tokenizer, data)

    def labels(self, data, feature_extractor):
        return WholeLabels(encode(self.tokenizer, data))

    def kept(self, logits, labels) -> torch.Tensor:
        return (logits[0] if isinstance(logits, tuple) else logits).argmax(dim=-1)

    def measure(self, scores, targets) -> Measure:
        said, true = self.texts(scores), self.texts(targets, group_tokens=False)
        counts = np.array([errors_of(*pair) for pair in zip(said, true, strict=True)])
        return lambda clips: rates_of(counts[clips].sum(axis=0))

    def texts(self, tokens: np.ndarray, **options) -> list[str]:
        """What numbers of tokens (clips, steps) say."""
        tokens = np.where(tokens == NONE, self.tokenizer.pad_token_id, tokens)
        return [spaced(text) for text in self.tokenizer.batch_decode(tokens, **options)]

    def mistakes(self, scores, targets, test) -> list[Mistake | None]:
        found: list[Mistake | None] = []
        for said, true in zip(self.texts(scores), map(spaced, test.labels), strict=True):
            _, _, wrong, count = errors_of(said, true)
            found.append((wrong / max(count, 1), true, said) if wrong else None)
        return found


class Frames(Task):
    """
    When something sounds, and what. Events are rare, and a model is seldom sure of them, so each validation chooses
    above which probability one is taken to be there, for the best F1 of segments.
    """

    head = "SSASTForAudioFrameClassification"
    figures, best = ("segment_f1", "event_f1", "frame_f1"), "segment_f1"
    threshold = 0.5

    def fields(self) -> dict:
        # Classes may sound at once.
        return super().fields() | {"problem_type": "multi_label_classification", "event_threshold": self.threshold}

    def settle(self, validation):
        before = self.threshold
        if validation is not None:
            self.threshold = self.config.event_threshold = validation.get("eval_event_threshold", before)
        return self.threshold != before

    def notes(self):
        return [
            f"events are taken to be there above a probability of {self.threshold:g} (event_threshold of the model)"
        ]

    @property
    def clock(self) -> Clock:
        seconds = self.config.time_stride * self.config.frame_seconds[0]
        return Clock(float(self.config.frame_times(self.config.max_length)[0]), seconds, self.names)

    def labels(self, data, feature_extractor):
        return StepLabels(self.clock, data.events, self.config, feature_extractor)

    def measure(self, scores, targets) -> Measure:
        everything = np.arange(len(targets))
        true = [self.heard(labels, labels, 0.5) for labels in targets]
        measures = {each: self.compare(self.heard_in_all(scores, targets, each), true) for each in THRESHOLDS}
        found = {each: np.nan_to_num(measure(everything)["segment_f1"]) for each, measure in measures.items()}
        # Of equals the one in the middle: 0.5, if the model finds nothing yet.
        chosen = max(THRESHOLDS, key=lambda threshold: (found[threshold], -abs(threshold - 0.5)))
        return lambda clips: measures[chosen](clips) | {"event_threshold": chosen}

    def measure_test(self, scores, targets, test) -> Measure:
        return self.compare(self.heard_in_all(scores, targets, self.threshold), test.events)

    def heard_in_all(self, scores: np.ndarray, targets: np.ndarray, threshold: float) -> list[list[Event]]:
        """The events that are taken to be in each clip, of logits (clips, steps, classes)."""
        limit = float(np.log(threshold / (1 - threshold)))
        return [self.heard(*pair, limit) for pair in zip(scores, targets, strict=True)]

    def heard(self, scores: np.ndarray, targets: np.ndarray, limit: float) -> list[Event]:
        """The events where a clip's scores (steps, classes) are above a limit, and labels say that there is audio."""
        return self.clock.events(scores[targets[:, 0] != NONE] > limit)

    def compare(self, said: list[list[Event]], true: list[list[Event]]) -> Measure:
        counts = np.stack([counts_of(*pair, self.names) for pair in zip(said, true, strict=True)])
        return lambda clips: f1_of(counts[clips].sum(axis=(0, 1)))

    def confusion(self, scores, targets) -> None:
        return None  # several may sound at once

    def mistakes(self, scores, targets, test) -> list[Mistake | None]:
        found: list[Mistake | None] = []
        for said, true in zip(self.heard_in_all(scores, targets, self.threshold), test.events, strict=True):
            wrong = int(counts_of(said, true, self.names)[:, 1:3].sum())
            found.append((float(wrong), told(true), told(said)) if wrong else None)
        return found

    def by_class(self, scores, targets, test=None) -> list[list[str]]:
        said = self.heard_in_all(scores, targets, self.threshold)
        counts = np.sum([counts_of(*pair, self.names) for pair in zip(said, test.events, strict=True)], axis=0)
        events = [sum(event[2] == name for each in test.events for event in each) for name in self.names]
        figures = [f1_of(row) for row in counts]
        rows = [
            [name, *(f"{each[figure]:.3f}" for figure in self.figures), str(count)]
            for name, each, count in zip(self.names, figures, events, strict=True)
        ]
        return [["class", "segment F1", "event F1", "frame F1", "events"], *rows]


def told(events: list[Event]) -> str:
    """Events in words, the first few."""
    shown = [f"{name} {begin:.2f} to {end:.2f} s" for begin, end, name in sorted(events)[:5]]
    return in_words(shown + ["..."] * (len(events) > 5))


def in_words(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities of logits (n, C)."""
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


KINDS: dict[str, type[Task]] = {
    "classification": Classification,
    "multilabel": Multilabel,
    "regression": Regression,
    "speaker": Speaker,
    "ctc": Transcription,
    "frames": Frames,
}
