"""What is compared: encoders, pretrained or with random weights, and the baseline without any."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.models.audio_spectrogram_transformer import ASTConfig

from ...assets import named_model
from ...configuration_ssast import SSASTConfig
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ...modeling_ssast import NUM_PREFIX_TOKENS, SSASTModel
from ...storage.guards import reading
from ..embedder import Embedder
from ..encoders import on_device, quiet_loading
from ..pooling import join, sums_of_patches
from ..stock_ast import check_length, columns_of


# Clips of equal length that stock models encode together, and the seconds that models of waveforms take at once.
BATCH_SIZE, LONGEST = 8, 30


class SSASTContender:
    """
    An SSAST encoder. Its vectors are those of every layer, pooled over what is not padding.

    Args:
        name (`str`): A folder or a name on the Hub.
        device (`torch.device`): Where to compute.
        pooling (`str`): As that of an [`Embedder`].
    """

    def __init__(self, name: str, device: torch.device, pooling: str):
        self.embedder = Embedder(name, pooling=pooling, layer="all", device=device)
        extractor = self.embedder.feature_extractor
        self.sampling_rate = extractor.sampling_rate
        self.min_samples = extractor.num_samples(self.model.config.patch_shape[1])

    @property
    def model(self) -> SSASTModel:
        return self.embedder.encoder

    def randomise(self, seed: int):
        """Forget what it has learned."""
        torch.manual_seed(seed)
        self.embedder.encoder = SSASTModel(self.model.config).eval().requires_grad_(False).to(self.embedder.device)

    def embed(self, waves: list[np.ndarray]) -> np.ndarray:
        """Clips (num_samples,) at its rate -> (num_clips, num_layers, width), float32."""
        return self.embedder(waves)

    def settings(self) -> dict:
        extractor = self.embedder.feature_extractor.to_dict()
        return {
            "config": self.model.config.to_dict(),
            "extractor": extractor,
            "embedder": {"pooling": self.embedder.pooling},
        }


class StockContender:
    """
    A stock AST, or a model of waveforms such as wav2vec2, as transformers has it. As for [`SSASTContender`].

    Clips of the same length are encoded together, so that nothing is padded but what AST pads, whose tokens are left
    out.
    """

    def __init__(self, name: str, device: torch.device, pooling: str, config):
        self.pooling = pooling
        self.is_ast = isinstance(config, ASTConfig)
        if not self.is_ast and not (hasattr(config, "conv_kernel") and hasattr(config, "conv_stride")):
            raise ValueError(
                f"{name} is a model of the type {config.model_type}; expected SSAST, stock AST, or a model of "
                "waveforms such as wav2vec2, HuBERT or WavLM."
            )
        with reading(name, "a model for transformers", "Copy or download it again."), quiet_loading():
            options = dict(dtype=torch.float32, trust_remote_code=False)
            self.model, info = AutoModel.from_pretrained(name, config=config, output_loading_info=True, **options)
            self.extractor = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=False)
        if missing := sorted(set(info["missing_keys"]) - {"masked_spec_embed"}):
            raise ValueError(f"{name} lacks weights of an encoder, such as {missing[0]}. Copy or download it again.")
        self.device = device
        self.model = on_device(self.model, device)
        self.sampling_rate = self.extractor.sampling_rate
        if self.is_ast:  # whose frames are 25 ms long, 10 ms apart, at 16 kHz
            check_length(name, self.extractor.max_length, config.max_length)
            # Of frame models the kernels are square, and zero beyond the patch.
            self.patch_frames = columns_of(self.model.embeddings.patch_embeddings.projection.weight)
            beyond = config.patch_size - self.patch_frames
            self.min_samples = 400 + 160 * (self.patch_frames - 1)
            self.max_samples = 400 + 160 * (self.extractor.max_length - beyond - 1)
        else:
            self.min_samples, self.max_samples = 1, LONGEST * self.sampling_rate
            for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
                self.min_samples = (self.min_samples - 1) * stride + kernel

    def randomise(self, seed: int):
        torch.manual_seed(seed)
        self.model = AutoModel.from_config(self.model.config).float().eval().requires_grad_(False).to(self.device)
        if self.is_ast:
            self.model.embeddings.patch_embeddings.projection.weight[..., self.patch_frames :] = 0

    def embed(self, waves: list[np.ndarray]) -> np.ndarray:
        pieces = [
            (number, wave[begin : begin + self.max_samples])
            for number, wave in enumerate(waves)
            for begin in range(0, len(wave), self.max_samples)
            if begin == 0 or len(wave) - begin >= self.min_samples
        ]
        pieces.sort(key=lambda piece: len(piece[1]))
        parts: list[list[np.ndarray]] = [[] for _ in waves]
        while pieces:
            size = len(pieces[0][1])
            batch = [piece for piece in pieces[:BATCH_SIZE] if len(piece[1]) == size]
            pieces = pieces[len(batch) :]
            patches = self.patches([wave for _, wave in batch], size)
            _, count, _, times, _ = patches.shape
            sums = sums_of_patches(patches, patches.new_ones(count, times), self.pooling)
            sums = torch.nn.functional.pad(sums, (0, 1), value=times)  # and how many
            for (number, _), each in zip(batch, sums.transpose(0, 1).cpu().numpy(), strict=True):
                parts[number].append(each)
        return np.stack([join(each, "clip", self.pooling) for each in parts]).astype(np.float32)

    @torch.inference_mode()
    def patches(self, waves: list[np.ndarray], size: int) -> torch.Tensor:
        """
        All layers of clips of `size` samples, (layers, B, frequency, time, D), without what is padding or no sound.
        Models of waveforms have one frequency.
        """
        inputs = self.extractor(waves, sampling_rate=self.sampling_rate, return_tensors="pt")["input_values"]
        outputs = self.model(inputs.to(self.device), output_hidden_states=True, return_dict=True)
        states = torch.stack([*outputs.hidden_states[:-1], outputs.last_hidden_state]).float()
        if not self.is_ast:
            return states.unsqueeze(2)
        config = self.model.config
        columns = (inputs.shape[1] - config.patch_size) // config.time_stride + 1
        whole = ((size - 400) // 160 + 1 - self.patch_frames) // config.time_stride + 1
        return states[:, :, NUM_PREFIX_TOKENS:].unflatten(2, (-1, columns))[:, :, :, :whole]

    def settings(self) -> dict:
        extractor = self.extractor.to_dict()
        own: dict = {"pooling": self.pooling}
        if self.is_ast and self.patch_frames != self.model.config.patch_size:
            own["patch_frames"] = self.patch_frames
        return {"config": self.model.config.to_dict(), "extractor": extractor, "embedder": own}


class MelStatistics:
    """The baseline: mean and standard deviation over time of each log-mel bin."""

    def __init__(self):
        self.extractor = SSASTFeatureExtractor()
        self.sampling_rate = self.extractor.sampling_rate
        self.min_samples = self.extractor.num_samples(1)

    def embed(self, waves: list[np.ndarray]) -> np.ndarray:
        rows = []
        options = dict(sampling_rate=self.sampling_rate, padding=False, truncation=False)
        for wave in waves:
            features = np.asarray(self.extractor(wave, **options)["input_values"][0])
            rows.append(np.concatenate((features.mean(axis=0), features.std(axis=0))))
        return np.stack(rows)[:, None].astype(np.float32)

    def settings(self) -> dict:
        return {"extractor": self.extractor.to_dict()}


def load_contender(name: str, device: torch.device, pooling: str):
    """
    An encoder by the name of its folder or on the Hub, pooled by `"mean"`, `"bands"` or `"statistics"`.

    Raises:
        ValueError: If it is none that can be used.
        OSError: If there is no such folder or repository.
    """
    name = named_model(name)
    if not Path(name).is_dir() and (name.count("/") != 1 or name.startswith((".", "/"))):
        raise FileNotFoundError(f"{name} is neither a folder nor a repository on the Hub (owner/name).")
    with reading(name, "a model for transformers", "Copy or download it again."):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    if isinstance(config, SSASTConfig):
        return SSASTContender(name, device, pooling)
    return StockContender(name, device, pooling, config)


def sha256_of_model(contender) -> str:
    """The SHA-256 of an encoder's weights, in the order of their names, as they are in the memory."""
    digest = hashlib.sha256()
    for key, tensor in sorted(contender.model.state_dict().items()):
        digest.update(f"{key} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()
