"""transformers' common tests of feature extractors for sequences."""

from unittest import TestCase

import numpy as np
from transformers_tests.test_sequence_feature_extraction_common import SequenceFeatureExtractionTestMixin

from ssast_hf import SSASTFeatureExtractor


class FeatureExtractionTester:
    """What the tests ask about a feature extractor. Seven inputs, of 400, 600, ..., 1600 numbers or frames."""

    batch_size = 7
    min_seq_length = 400
    max_seq_length = 1600
    seq_length_diff = 200

    def __init__(self, feature_size: int):
        self.feature_size = feature_size

    def prepare_feat_extract_dict(self) -> dict:
        # Padding is expected to be 0, which it is before normalisation.
        return dict(num_mel_bins=32, max_length=64, do_normalize=False)

    def prepare_inputs_for_common(self, equal_length=False, numpify=False) -> list:
        random = np.random.default_rng(0)
        lengths = range(self.min_seq_length, self.max_seq_length + 1, self.seq_length_diff)
        shape = () if self.feature_size == 1 else (self.feature_size,)
        arrays = [random.random((self.max_seq_length if equal_length else n, *shape), "float32") for n in lengths]
        return arrays if numpify else [array.tolist() for array in arrays]


class SequenceTests(SequenceFeatureExtractionTestMixin, TestCase):
    """Inputs as in stock AST's tests: lists of numbers."""

    feature_extraction_class = SSASTFeatureExtractor

    def setUp(self):
        self.feat_extract_tester = FeatureExtractionTester(feature_size=1)


class SpectrogramTests(SequenceFeatureExtractionTestMixin, TestCase):
    """Inputs of shape (frames, mels), as the feature extractor makes them."""

    feature_extraction_class = SSASTFeatureExtractor

    def setUp(self):
        self.feat_extract_tester = FeatureExtractionTester(feature_size=32)
