"""A saved model with a head as a function from recordings of any length to answers."""

from pathlib import Path

import numpy as np
import torch
from transformers import Wav2Vec2CTCTokenizer

from ...configuration_ssast import SSASTConfig
from ...storage.guards import reading
from ...storage.tokenizers import load_tokenizer
from ..clips import as_list, check_mono, is_batch, to_clip
from ..embedder import DTYPES
from ..encoders import as_device, default_device, quiet_loading
from ..options import one_of
from ..windowed import Piece, WindowedModel
from .answers import Answer, ClipAnswers, EventAnswers, TextAnswers, TimeLine
from .heads import EVENTS, LABELS, NUMBERS, SPEAKERS, TEXT, load_head


UNITS = ("word", "char", "clip")
# Which answers an option is for, by its name.
MEANT_FOR = {"top_k": (LABELS, SPEAKERS), "threshold": (LABELS, SPEAKERS, EVENTS), "timestamps": (TEXT,)}
# Of clips' labels of which there may be several.
USUAL_THRESHOLD = 0.5


class Predictor(WindowedModel):
    """
    A saved model with a head as a function from recordings to answers on their time lines.

    What it answers for a clip depends on that clip alone, beyond rounding: not on the others in the batch. Clips are
    padded as the model's feature extractor says: under an attention mask, or to the length that the model was trained
    on. Long recordings are heard in windows that overlap. A clip's classes, values and speakers are answered for each
    window; text and events are joined, and of what two windows share each gives its half.

    Args:
        model (`str` or `Path`): A folder, or a name on the Hub, of an [`SSASTForAudioClassification`],
            [`SSASTForXVector`], [`SSASTForCTC`] (with the files of its `Wav2Vec2CTCTokenizer`) or
            [`SSASTForAudioFrameClassification`], or of a stock `ASTForAudioClassification`.
        top_k (`int`, *optional*): How many classes or speakers of a window, the best first: by default the best one,
            and of a model for several labels at once all above the threshold.
        threshold (`float`, *optional*): Answers with a higher score alone. By default, for models for several labels
            at once (`problem_type="multi_label_classification"`), 0.5 unless `top_k` is given, and of events the
            model's own `config.event_threshold`; else none.
        timestamps (`str`, *optional*): Of text: a row for each `"word"` (the default), `"char"`, or `"clip"`.
        window, hop (`float`, *optional*): Seconds that are heard together, by default what the model was trained on,
            and from one window to the next, by default three quarters of it.
        device (`str` or `torch.device`, *optional*): The accelerator if there is one, else the CPU.
        dtype (`torch.dtype` or `str`, defaults to float32): In which type to compute.
        batch_size (`int` or `"auto"`): Most windows that are heard together.

    Raises:
        ValueError: If an option is none of these, or if the model cannot be used.
        OSError: If there is no such model.
    """

    def __init__(
        self,
        model,
        top_k=None,
        threshold=None,
        timestamps=None,
        window=None,
        hop=None,
        device=None,
        dtype=None,
        batch_size="auto",
    ):
        if top_k is not None and (type(top_k) is not int or top_k < 1):
            raise ValueError(f"top_k must be an integer from 1 up; got {top_k!r}.")
        if threshold is not None and not -1 <= threshold <= 1:
            raise ValueError(f"threshold must be a number up to 1; got {threshold!r}.")
        device = default_device() if device is None else as_device(device)
        name = one_of("dtype", str(dtype or torch.float32).removeprefix("torch."), DTYPES)
        self.head = load_head(model, device, getattr(torch, name))
        self.feature_extractor, self.kind = self.head.feature_extractor, self.head.kind
        for option, value in {"top_k": top_k, "threshold": threshold, "timestamps": timestamps}.items():
            if value is not None and self.kind not in MEANT_FOR[option]:
                raise ValueError(
                    f"{option} is for models that answer with {' or '.join(MEANT_FOR[option])}; {model} answers with "
                    f"{self.kind}."
                )
        config = self.head.model.config
        self.names = [config.id2label[i] for i in range(config.num_labels)]
        self.is_multilabel = self.kind in (LABELS, EVENTS) and config.problem_type == "multi_label_classification"
        if self.is_multilabel and top_k is None and threshold is None:
            threshold = config.event_threshold if self.kind == EVENTS else USUAL_THRESHOLD
        elif self.kind in (LABELS, SPEAKERS) and top_k is None and threshold is None:
            top_k = 1
        self.top_k, self.threshold = top_k, threshold
        self.unit = one_of("timestamps", timestamps or UNITS[0], UNITS)
        self.tokenizer = tokenizer_of(model, self.head.model) if self.kind == TEXT else None
        self.choose_batches(batch_size, device)
        if window is None:
            shift, length = self.config.frame_seconds
            window = (max(self.head.longest, self.config.patch_shape[1]) - 1) * shift + length
        self.window_steps, self.hop_steps = self.steps_of(window, hop)
        if not self.head.takes_any_length and self.window_steps > self.config.grid_shape[1]:
            raise ValueError(f"window={window!r} is longer than the input of {model}, a stock AST. Leave it out.")

    @property
    def config(self) -> SSASTConfig:
        return self.head.config

    def __call__(self, clips, sampling_rate: int | None = None):
        """
        Args:
            clips: One clip or a list of them. A clip is a path; an array, tensor or list of numbers `(num_samples,)`,
                mono, floating point; or a dictionary with `array` and `sampling_rate`, with `bytes` or with `path`.
            sampling_rate (`int`, *optional*): Of clips that are numbers without one, in Hz; the model's if not given.

        Returns:
            `list[dict]`: Of one clip its answers, each with `start`, `end` (seconds), `label` and `score`; of a list
            of clips a list of these. Scores are probabilities; of speakers cosines, of numbers the value itself.

        Raises:
            ValueError: If a clip is no audio, not mono, not finite, or shorter than a patch; it is named.
            OSError: If there is no such file.
        """
        clips = as_list(clips)
        check_mono(clips)
        several = is_batch(clips)
        rate = self.feature_extractor.sampling_rate
        opened = [
            to_clip(clip, f"Clip {i}", sampling_rate or rate, rate)
            for i, clip in enumerate(clips if several else [clips])
        ]
        plans = [self.windows_of(clip.num_samples, clip.name) for clip in opened]
        pieces = (
            Piece((number, begin, end), window, clip.read(begin, end))
            for number, clip in enumerate(opened)
            for window, begin, end in plans[number]
        )
        results = [self.answers(clip.num_samples) for clip in opened]
        rows: list[list[Answer]] = [[] for _ in opened]
        for piece, scores in self.encode_in_order(pieces):
            number, *span = piece.clip
            check_finite(scores, opened[number].name)
            rows[number] += results[number].add(piece.window, self.seconds(span), scores)
        for number, result in enumerate(results):
            rows[number] += result.finish()
        listed = [[answer._asdict() for answer in each] for each in rows]
        return listed if several else listed[0]

    def seconds(self, span) -> tuple[float, float]:
        """Samples as seconds."""
        rate = self.feature_extractor.sampling_rate
        return span[0] / rate, span[1] / rate

    def answers(self, num_samples: int) -> ClipAnswers | EventAnswers | TextAnswers:
        """What collects the answers of a recording."""
        rate = self.feature_extractor.sampling_rate
        steps = self.config.time_grid(self.feature_extractor.num_frames(num_samples))
        times = self.times_of(self.feature_extractor.num_samples(self.config.patch_shape[1] + self.config.time_stride))
        line = TimeLine(float(times[1] - times[0]), float(times[0]), steps, num_samples / rate)
        if self.kind == TEXT:
            return TextAnswers(line, self.tokenizer, self.head.model.blank, self.unit)
        if self.kind == EVENTS:
            return EventAnswers(line, self.names, not self.is_multilabel, self.threshold)
        return ClipAnswers(line, self.names, self.top_k, self.threshold)

    def batches(self, lengths: list[int]):
        return self.head.batches(lengths, self.batch_size, self.most_steps)

    @torch.inference_mode()
    def encode(self, pieces: list[Piece]) -> list[np.ndarray]:
        """
        The scores of each window, float32: of a clip `(num_labels,)`; of the steps that are kept `(steps, num_labels)`
        for events, and for text the best token and its probability, `(steps, 2)`.
        """
        logits = self.head.logits([piece.samples for piece in pieces if piece.samples is not None])
        scores = self.scores(logits).cpu().numpy()
        if self.kind not in (TEXT, EVENTS):
            return list(scores)
        windows = [piece.window for piece in pieces]
        return [
            scores[i, window.first - window.start : window.last - window.start] for i, window in enumerate(windows)
        ]

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        if self.kind in (NUMBERS, SPEAKERS):
            return logits
        if self.is_multilabel:
            return logits.sigmoid()
        probabilities = logits.softmax(dim=-1)
        if self.kind != TEXT:
            return probabilities
        best, tokens = probabilities.max(dim=-1)
        return torch.stack((tokens.to(best.dtype), best), dim=-1)


def check_finite(scores: np.ndarray, name: str):
    """ValueError if a model has computed nonsense."""
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}: the model's scores are not finite. Compute in dtype float32, or retrain the model.")


def tokenizer_of(name, model) -> Wav2Vec2CTCTokenizer:
    """The tokenizer of a model for text; ValueError if there is none, or if it is another model's."""
    remedy = "Save the tokenizer that it was trained with there: tokenizer.save_pretrained(folder)."
    if Path(name).is_dir() and not (Path(name) / "vocab.json").exists():
        raise ValueError(f"{name} writes text, but has no vocab.json. {remedy}")
    with reading(name, "the folder of a Wav2Vec2CTCTokenizer", remedy), quiet_loading():
        tokenizer = load_tokenizer(name)
    if len(tokenizer) < model.config.vocab_size or tokenizer.pad_token_id != model.blank:
        raise ValueError(
            f"{name}: vocab.json has {len(tokenizer)} tokens and the blank {tokenizer.pad_token_id}, the model "
            f"{model.config.vocab_size} and {model.blank}. {remedy}"
        )
    return tokenizer
