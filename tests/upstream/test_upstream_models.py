"""
transformers' common tests of models, for every way in which ours can run.

Not its tests of pipelines: `PipelineTesterMixin` needs files that are not in the source distribution, and tiny models
from the Hub. A pipeline with our classes runs in `test_compatibility.py`.
"""

from contextlib import nullcontext
from unittest import TestCase, mock

import torch
from transformers.models.auto import modeling_auto
from transformers.testing_utils import torch_device
from transformers_tests.test_modeling_common import ModelTesterMixin

from ssast_hf import (
    SSASTConfig,
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForPretraining,
    SSASTForXVector,
    SSASTModel,
    SSASTPreTrainedModel,
)


# The tests know what a class is for from the names in these tables, where classes of other packages are missing.
modeling_auto.MODEL_MAPPING_NAMES["ssast"] = "SSASTModel"
modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES["ssast"] = "SSASTForAudioClassification"
# For the test of the types of labels, which is for classifiers of text and images.
modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES["ssast"] = "SSASTForAudioClassification"


class ModelTester:
    """What the tests ask about a model: a tiny configuration, inputs for it, and the sizes to expect of outputs."""

    batch_size = 3
    hidden_size = 32
    num_hidden_layers = 2
    num_attention_heads = 4
    is_training = True
    # Of the mask that one of the tests makes itself.
    num_masks = 20
    mask_length = 32

    def __init__(self, inputs: str = "", seq_length: int = 34, **fields):
        self.inputs = inputs.split()
        self.seq_length = seq_length
        self.fields = fields

    def get_config(self) -> SSASTConfig:
        """4 x 8 patches, or other fields."""
        fields = dict(
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=64,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
            patch_size=8,
            num_mel_bins=32,
            max_length=64,
            num_masked_patches=20,
        )
        return SSASTConfig(**fields | self.fields)

    def prepare_config_and_inputs_for_common(self) -> tuple[SSASTConfig, dict[str, torch.Tensor]]:
        config = self.get_config()
        inputs = {"input_values": torch.rand(self.batch_size, config.max_length, config.num_mel_bins)}
        if "attention_mask" in self.inputs:
            inputs["attention_mask"] = torch.ones(self.batch_size, config.max_length, dtype=torch.long)
            inputs["attention_mask"][-1, 3 * config.max_length // 4 :] = 0
        if "bool_masked_pos" in self.inputs:
            order = torch.rand(self.batch_size, config.num_patches).argsort(dim=1)
            inputs["bool_masked_pos"] = order < config.num_masked_patches
        return config, {name: value.to(torch_device) for name, value in inputs.items()}


class CommonTests(ModelTesterMixin):
    """Every class of tests has one model, so that the table of expected differences can tell them apart."""

    # Patches are no words of a vocabulary.
    test_resize_embeddings = False
    # Not only for models that are newer than the test.
    test_can_init_all_missing_weights_before_2023 = True
    test_torch_exportable = True
    # Of transformers 4.57, whose models no longer do either.
    test_pruning = False
    test_head_masking = False

    def subTest(self, *arguments, **parameters):
        # Of one model. Without it a failure is the test's own, which may be expected.
        return nullcontext()

    def _prepare_for_class(self, *arguments, **parameters):
        inputs = super()._prepare_for_class(*arguments, **parameters)
        if "attention_mask" not in self.model_tester.inputs:
            # One of the tests makes a mask where there is none, with an entry per token. Ours has one per frame.
            inputs.pop("attention_mask", None)
        return inputs

    def test_can_capture_specific_layers_hidden_states(self):
        test = getattr(super(), self._testMethodName, None)
        if test is None:
            self.skipTest("Not in this version of transformers.")
        # Asked of models alone whose layers transformers observes. Ours collect their outputs themselves.
        with mock.patch.object(SSASTPreTrainedModel, "_can_record_outputs", {"hidden_states": torch.nn.Module}):
            test()


class SSASTModelTests(CommonTests, TestCase):
    all_model_classes = (SSASTModel,)

    def setUp(self):
        self.model_tester = ModelTester("attention_mask")


class GivenMaskTests(CommonTests, TestCase):
    """Pretraining with `bool_masked_pos`."""

    all_model_classes = (SSASTForPretraining,)

    def setUp(self):
        self.model_tester = ModelTester("attention_mask bool_masked_pos")


class DrawnMaskTests(CommonTests, TestCase):
    """Pretraining without `bool_masked_pos`."""

    all_model_classes = (SSASTForPretraining,)

    def setUp(self):
        self.model_tester = ModelTester()

    def _prepare_for_class(self, *arguments, **parameters):
        # Called for each run of a model: two runs that a test compares draw the same mask.
        torch.manual_seed(0)
        return super()._prepare_for_class(*arguments, **parameters)


class FrameTests(CommonTests, TestCase):
    """Patches as high as the spectrogram."""

    all_model_classes = (SSASTForPretraining,)

    def setUp(self):
        self.model_tester = ModelTester("bool_masked_pos", patch_size=[32, 2])


class VisibleOnlyTests(CommonTests, TestCase):
    """The encoder sees 12 patches that are not masked and the two tokens in front."""

    all_model_classes = (SSASTForPretraining,)

    def setUp(self):
        self.model_tester = ModelTester("bool_masked_pos", seq_length=14, decoder_num_hidden_layers=1)


class SSASTForAudioClassificationTests(CommonTests, TestCase):
    all_model_classes = (SSASTForAudioClassification,)

    def setUp(self):
        self.model_tester = ModelTester("attention_mask")


class HeadTests(CommonTests):
    """Heads whose labels are not those of transformers' tests."""

    label_shape: tuple[int, ...] = ()

    def setUp(self):
        # Patches as high as the spectrogram and 2 frames long, a sum of layers and a projection.
        fields = dict(use_weighted_layer_sum=True, classifier_proj_size=24, vocab_size=6, xvector_output_dim=16)
        self.model_tester = ModelTester("attention_mask", patch_size=[32, 2], **fields)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels:
            inputs["labels"] = torch.ones(self.label_shape, dtype=torch.long, device=torch_device)
        return inputs


class SSASTForXVectorTests(HeadTests, TestCase):
    all_model_classes = (SSASTForXVector,)
    label_shape = (ModelTester.batch_size,)


class SSASTForCTCTests(HeadTests, TestCase):
    all_model_classes = (SSASTForCTC,)
    label_shape = (ModelTester.batch_size, 4)


class SSASTForAudioFrameClassificationTests(HeadTests, TestCase):
    all_model_classes = (SSASTForAudioFrameClassification,)
    label_shape = (ModelTester.batch_size, 32)
