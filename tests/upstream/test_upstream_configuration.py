"""transformers' common tests of configurations."""

from unittest import TestCase

from transformers_tests.test_configuration_common import ConfigTester

from ssast_hf import SSASTConfig


class SSASTConfigTests(TestCase):
    def test_config(self):
        fields = dict(hidden_size=36, patch_size=[128, 2], pooling_mode="cls", decoder_num_hidden_layers=1)
        # In older versions the first is set to 0, the second to 1 and so on. A width of 0 would be refused.
        names = ["decoder_num_hidden_layers", "num_attention_heads", "num_hidden_layers"]
        tester = ConfigTester(self, SSASTConfig, has_text_modality=False, common_properties=names, **fields)
        tester.run_common_tests()
