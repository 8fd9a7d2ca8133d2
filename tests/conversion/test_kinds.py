"""The table of which tensors make which class is true of the classes, and of the original's files."""

import pytest
from original import finetuned_checkpoint, original_checkpoint

from ssast_hf import SSASTForAudioClassification, SSASTForPretraining, SSASTModel
from ssast_hf.conversion.kinds import KINDS, kind_named, kind_of


@pytest.mark.parametrize("model_class", KINDS)
def test_every_class_is_known_by_its_tensors(model_class, config):
    config.vocab_size, config.time_stride = 5, 4  # for text
    assert kind_of(model_class(config).state_dict()) is model_class
    assert kind_named(model_class.__name__) is model_class


def test_files_of_the_original_code():
    assert kind_of(original_checkpoint(prefix=""), original=True) is SSASTForPretraining
    finetuned = {key.removeprefix("module."): tensor for key, tensor in finetuned_checkpoint().items()}
    assert kind_of(finetuned, original=True) is SSASTForAudioClassification


def test_one_head_is_enough_and_none_is_an_encoder():
    assert kind_of(["layernorm.weight", "decoder.layernorm.bias"]) is SSASTForPretraining
    assert kind_of(["audio_spectrogram_transformer.layernorm.weight"]) is SSASTModel
    with pytest.raises(ValueError, match="BertModel is none of SSASTForAudioClassification"):
        kind_named("BertModel")
