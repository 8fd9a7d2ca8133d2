"""Small models of each head that has no labels of clips, for the page."""

import json

import torch
from transformers import Wav2Vec2CTCTokenizer

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForXVector,
)


# By the title of its tab.
HEADS = {"Who is it": SSASTForXVector, "What was said": SSASTForCTC, "Events": SSASTForAudioFrameClassification}


def save_headed(title: str, folder):
    """A model with the head of a tab and random weights."""
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    size |= {"patch_size": [32, 2], "num_mel_bins": 32, "max_length": 64}
    names = {0: "ann", 1: "bob"}
    model = HEADS[title](SSASTConfig(**size, id2label=names, vocab_size=5, pad_token_id=0))
    if title == "What was said":
        torch.nn.init.constant_(model.ctc_head.bias[3:4], 9.0)  # untrained, it would say nothing
    model.save_pretrained(folder)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64, return_attention_mask=True).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "|": 1, "<unk>": 2, "a": 3, "b": 4}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), pad_token="<pad>", bos_token=None, eos_token=None)
    tokenizer.save_pretrained(folder)
