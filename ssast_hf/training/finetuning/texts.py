"""Texts of recordings: their characters, and how many words and characters a model gets wrong."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from transformers import Wav2Vec2CTCTokenizer

from ...audio.labelled import LabelledData
from ...storage.guards import reading
from ...storage.tokenizers import load_tokenizer
from .characters import GAP, characters_of, check_characters, spaced


# They stand for nothing, and for anything else.
BLANK, OTHER = "<pad>", "<unk>"


def check_jiwer():
    """ImportError that says what to install, before anything is trained."""
    try:
        import jiwer  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError('--task ctc needs jiwer: pip install "ssast_hf[text]"') from error


def read_tokenizer(start: str, config) -> Wav2Vec2CTCTokenizer | None:
    """The tokenizer of a model, in a folder or on the Hub; `None` if it comes without, so that it writes no text."""
    has_one = (Path(start) / "vocab.json").exists()
    if not has_one and (Path(start).is_dir() or "SSASTForCTC" not in (config.architectures or [])):
        return None
    with reading(f"{start}/vocab.json", "the vocabulary of a tokenizer"):
        return load_tokenizer(start)


def check_gaps(data: LabelledData):
    """ValueError if a text has the character that stands for a gap in vocabularies; with its row."""
    for i, text in enumerate(data.labels):
        if GAP in text:
            raise ValueError(f"{data.place(i)}: the text has {GAP!r}, the mark of a gap between words. Replace it.")


def make_tokenizer(texts: Iterable[str]) -> Wav2Vec2CTCTokenizer:
    """A tokenizer of the characters of `texts`."""
    vocabulary = {name: i for i, name in enumerate([BLANK, GAP, OTHER, *sorted(characters_of(texts))])}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.json"
        path.write_text(json.dumps(vocabulary), encoding="utf-8")
        return Wav2Vec2CTCTokenizer(
            str(path), pad_token=BLANK, unk_token=OTHER, word_delimiter_token=GAP, bos_token=None, eos_token=None
        )


def encode(tokenizer, data: LabelledData) -> list[np.ndarray]:
    """
    The characters of each text as numbers, int64.

    Raises:
        ValueError: If one has a character that is not in the vocabulary; with its row.
    """
    known, gap = tokenizer.get_vocab(), tokenizer.word_delimiter_token
    if gap in known:
        known[" "] = known[gap]
    check_characters(data, known)
    return [np.array([known[character] for character in spaced(text)], dtype=np.int64) for text in data.labels]


def tokens_needed(label: np.ndarray) -> int:
    """How many time steps a label takes at least: between two equal characters there has to be a blank."""
    return len(label) + int((label[1:] == label[:-1]).sum())


def errors_of(said: str, true: str) -> tuple[int, int, int, int]:
    """Wrong words, of how many, and wrong characters, of how many."""
    import jiwer

    counts: list[int] = []
    for found in (jiwer.process_words(true, said), jiwer.process_characters(true, said)):
        wrong = found.substitutions + found.deletions + found.insertions
        counts += [wrong, found.hits + found.substitutions + found.deletions]
    return counts[0], counts[1], counts[2], counts[3]


def rates_of(counts: np.ndarray) -> dict[str, float]:
    """Error rates of sums as from [`errors_of`], (4,)."""
    words, characters = (counts[i] / max(counts[i + 1], 1) for i in (0, 2))
    return {"word_error_rate": float(words), "character_error_rate": float(characters)}


def check_long_texts(clips: list, extractor, config):
    """
    ValueError that counts the recordings whose text takes more time steps than they have, and names the first:
    nothing could be learned from these. Those that cannot be used at all are told elsewhere.
    """
    wrong = []
    for part in clips:
        for i, samples in enumerate(part.samples):
            if not part.cropper.min_samples <= samples <= part.cropper.windows.length:
                continue
            steps = config.time_grid(extractor.num_frames(int(samples)))
            if (needed := tokens_needed(part.label(i, 0.0, int(samples)))) > steps:
                wrong.append(f"{part.data.place(i)}: the text needs {needed} time steps and the recording has {steps}")
    if wrong:
        raise ValueError(
            f"{wrong[0]}. {len(wrong)} recordings are like that; correct their texts or leave them out, or pass a "
            "smaller --time_stride."
        )
