"""Tokenizers of models that write text."""

from transformers import Wav2Vec2CTCTokenizer


def load_tokenizer(name) -> Wav2Vec2CTCTokenizer:
    """The tokenizer in a folder, or of a model on the Hub, with the mark between words that is written there."""
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(name)
    # transformers 5 hands it on under one of these names, and goes on with "|". To be removed when that is mended.
    for key in ("model_specific_special_tokens", "extra_special_tokens"):
        special = tokenizer.init_kwargs.get(key)
        if isinstance(special, dict) and (mark := special.get("word_delimiter_token")) is not None:
            tokenizer._word_delimiter_token = str(mark)
    # Version 5.0.0 has added "|" as well, behind what the model can write.
    number = tokenizer._added_tokens_encoder.get("|", 0)
    if number >= tokenizer.vocab_size and tokenizer.word_delimiter_token != "|":
        del tokenizer._added_tokens_encoder["|"], tokenizer._added_tokens_decoder[number]
        tokenizer._update_total_vocab_size()
    return tokenizer
