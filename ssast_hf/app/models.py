"""The models that the page offers: what each can do, loaded when it is first asked for."""

from functools import cached_property
from pathlib import Path

import torch
from transformers import PretrainedConfig, SequenceFeatureExtractor

from ..assets import named_model
from ..configuration_ssast import SSASTConfig
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.embedder import Embedder
from ..inference.encoders import as_device, default_device, on_device, quiet_loading
from ..inference.predicting.heads import HEADS, LABELS, SPEAKERS
from ..inference.predicting.predictor import Predictor
from ..modeling_ssast import SSASTForPretraining
from ..storage.guards import reading
from ..storage.sizes import check_model_folder, read_config_fields, read_extractor_fields
from .answering import SHOWN
from .comparing import Comparison
from .foreign import ForeignClassifier, code_of


# What can be done with a model.
HIDE, COMPARE, ANSWER, LOOK = "hide", "compare", "answer", "look"
REMEDY = "Copy or download the model again."
# transformers' spelling of a stock AST with a classifier.
STOCK_TYPE, STOCK_CLASS = "audio-spectrogram-transformer", "ASTForAudioClassification"


class Model:
    """
    A saved model on the page.

    Args:
        name (`str`): A folder, a name on the Hub, or `nano`.
        device (`str`, *optional*): The accelerator if there is one, else the CPU.
        trust_remote_code (`bool`, defaults to `False`): Whether code that comes with the model may run.

    Attributes:
        title (`str`): What it is called on the page.
        abilities (`set[str]`): Of [`HIDE`], [`COMPARE`], [`ANSWER`] and [`LOOK`].
        problem (`str`, *optional*): Why it can do nothing unless the page is started otherwise.

    Raises:
        ValueError: If it is a model of another kind, or damaged.
        OSError: If there is no such model.
    """

    def __init__(self, name: str, device: str | None = None, trust_remote_code: bool = False):
        self.title = name if name == "nano" or not Path(name).is_dir() else Path(name).resolve().name
        self.path = named_model(name)
        self.device = default_device() if device is None else as_device(device)
        fields = fields_of(self.path)
        self.problem: str | None = None
        self.abilities: set[str] = set()
        self.is_foreign = False
        kind, classes = fields.get("model_type"), fields.get("architectures") or []
        if kind == SSASTConfig.model_type:
            self.abilities = {COMPARE, LOOK}
            if SSASTForPretraining.__name__ in classes:
                self.abilities.add(HIDE)
            if any(head.__name__ in classes for head in HEADS):
                self.abilities.add(ANSWER)
        elif kind == STOCK_TYPE and STOCK_CLASS in classes:
            self.abilities = {ANSWER}
        elif code_of(fields):
            self.is_foreign = True
            if trust_remote_code:
                self.abilities = {ANSWER}
            else:
                code = code_of(fields, extractor_fields_of(self.path))
                self.problem = (
                    f"{self.title} brings code of its own, which would run on this machine: {code}. Read it. If you "
                    "trust it, start the page again with --trust_remote_code."
                )
        else:
            raise ValueError(
                f"{name} is a model of the type {kind!r}; expected SSAST, or a stock AST that classifies."
            )

    @cached_property
    def pretraining(self) -> tuple[SSASTForPretraining, SSASTFeatureExtractor]:
        """With the two heads of pretraining; ValueError if they are not there, or if its patches overlap."""
        if HIDE not in self.abilities:
            raise ValueError(f"{self.title} has no heads of pretraining, so it cannot guess what is hidden.")
        if Path(self.path).is_dir():
            check_model_folder(self.path)
            read_extractor_fields(self.path)
        with reading(self.path, "an SSAST model", REMEDY), quiet_loading():
            options = dict(dtype=torch.float32, output_loading_info=True, trust_remote_code=False)
            model, info = SSASTForPretraining.from_pretrained(self.path, **options)
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"{self.title} lacks weights of pretraining, such as {missing[0]}. {REMEDY}")
        config = model.config
        if overlaps(config):
            raise ValueError(
                f"The patches of {self.title} overlap ({config.frequency_stride} x {config.time_stride} apart), so "
                "one that is hidden shows in others. Choose a model whose patches do not."
            )
        with reading(f"{self.path}/preprocessor_config.json", "that of an SSAST model", REMEDY):
            extractor = SSASTFeatureExtractor.from_pretrained(self.path)
        return on_device(model, self.device), extractor

    @cached_property
    def embedder(self) -> Embedder:
        """One vector per time step."""
        return Embedder(self.path, level="frame", device=self.device)

    @cached_property
    def comparison(self) -> Comparison:
        """The bundled clips to this model, which takes a moment."""
        return Comparison(self.embedder)

    @cached_property
    def predictor(self) -> Predictor | ForeignClassifier:
        """Its head."""
        if self.is_foreign:
            return ForeignClassifier(self.path, self.device)
        predictor = Predictor(self.path, device=self.device)
        if predictor.kind in (LABELS, SPEAKERS) and predictor.threshold is None:
            predictor.top_k = SHOWN
        return predictor

    def load(self):
        """Load what its tabs need, so that what is wrong with it is said before anybody waits."""
        if COMPARE in self.abilities:
            _ = self.embedder
        if HIDE in self.abilities and not overlaps(self.embedder.encoder.config):
            _ = self.pretraining
        if ANSWER in self.abilities:
            _ = self.predictor


def overlaps(config: SSASTConfig) -> bool:
    """Whether patches share cells of the spectrogram."""
    return (config.frequency_stride, config.time_stride) != config.patch_shape


def fields_of(name: str) -> dict:
    """What the `config.json` of a model says; errors as of [`Model`]."""
    if Path(name).is_dir():
        return read_config_fields(name)
    if str(name).count("/") != 1 or str(name).startswith((".", "/")):
        raise FileNotFoundError(f"{name} is neither a folder nor a repository on the Hub (owner/name).")
    with reading(name, "a model for transformers", REMEDY):
        return PretrainedConfig.get_config_dict(name)[0]


def extractor_fields_of(name: str) -> dict:
    """What the feature extractor's file of a model says; nothing if there is none, which loading it would tell."""
    try:
        return SequenceFeatureExtractor.get_feature_extractor_dict(name)[0]
    except (OSError, ValueError):
        return {}


def open_models(names: list[str], device: str | None = None, trust_remote_code: bool = False) -> dict[str, Model]:
    """
    Models by their titles, loaded; `nano` if none is named. Errors as of [`Model`].
    """
    models: dict[str, Model] = {}
    for name in names or ["nano"]:
        model = Model(name, device, trust_remote_code)
        if model.title in models:
            model.title = name
        if model.title in models:
            raise ValueError(f"{name} is named twice.")
        model.load()
        models[model.title] = model
    return models
