"""Tokenizers of models that write text."""

import json

import pytest
from transformers import Wav2Vec2CTCTokenizer

from ssast_hf.storage.tokenizers import load_tokenizer


@pytest.mark.compatibility
@pytest.mark.parametrize("mark", ["|", "_"])
def test_mark_between_words_is_the_one_that_was_saved(mark, tmp_path):
    vocabulary = {"<pad>": 0, "<unk>": 1, mark: 2, "a": 3}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    saved = Wav2Vec2CTCTokenizer(
        str(tmp_path / "vocab.json"), word_delimiter_token=mark, bos_token=None, eos_token=None
    )
    saved.save_pretrained(tmp_path / "texts")
    found = load_tokenizer(tmp_path / "texts")
    assert found.word_delimiter_token == mark
    assert found.get_vocab() == vocabulary
    assert len(found) == 4
