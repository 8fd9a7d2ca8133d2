"""Self-Supervised Audio Spectrogram Transformer (SSAST) for HuggingFace transformers."""

__version__ = "0.1.0"

from .cli import begin, is_running


if is_running():  # help and errors of the command line come before the seconds that PyTorch and transformers take
    begin()

import transformers
from packaging.version import Version


if Version(transformers.__version__).release < (4, 57):
    raise ImportError(
        f"ssast_hf needs transformers >= 4.57, found {transformers.__version__}: pip install --upgrade transformers"
    )

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForAudioFrameClassification,
    AutoModelForAudioXVector,
    AutoModelForCTC,
    AutoModelForPreTraining,
    AutoProcessor,
)

from .configuration_ssast import SSASTConfig
from .feature_extraction_ssast import SSASTFeatureExtractor
from .heads_ssast import (
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForXVector,
)
from .inference import Embedder
from .modeling_ssast import (
    SSASTForPreTraining,
    SSASTForPretraining,
    SSASTModel,
    SSASTPreTrainedModel,
)
from .outputs_ssast import SSASTForPretrainingOutput, SSASTModelOutput


__all__ = [
    "Embedder",
    "SSASTConfig",
    "SSASTFeatureExtractor",
    "SSASTForAudioClassification",
    "SSASTForAudioFrameClassification",
    "SSASTForCTC",
    "SSASTForPreTraining",
    "SSASTForPretraining",
    "SSASTForPretrainingOutput",
    "SSASTForXVector",
    "SSASTModel",
    "SSASTModelOutput",
    "SSASTPreTrainedModel",
]

AutoConfig.register(SSASTConfig.model_type, SSASTConfig, exist_ok=True)
AutoFeatureExtractor.register(SSASTConfig, SSASTFeatureExtractor, exist_ok=True)
AutoModel.register(SSASTConfig, SSASTModel, exist_ok=True)
AutoModelForAudioClassification.register(SSASTConfig, SSASTForAudioClassification, exist_ok=True)
AutoModelForAudioFrameClassification.register(SSASTConfig, SSASTForAudioFrameClassification, exist_ok=True)
AutoModelForAudioXVector.register(SSASTConfig, SSASTForXVector, exist_ok=True)
AutoModelForCTC.register(SSASTConfig, SSASTForCTC, exist_ok=True)
AutoModelForPreTraining.register(SSASTConfig, SSASTForPretraining, exist_ok=True)
AutoProcessor.register(SSASTConfig, SSASTFeatureExtractor, exist_ok=True)
