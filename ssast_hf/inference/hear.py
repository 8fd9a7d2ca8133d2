"""
The interface of HEAR (Holistic Evaluation of Audio Representations), by which other programs evaluate encoders.

    import ssast_hf.inference.hear as ssast

    model = ssast.load_model("ssast-base-patch-400")
    embeddings = ssast.get_scene_embeddings(audio, model)
"""

import torch

from .embedder import Embedder


class HearModel(torch.nn.Module):
    """
    Two embedders in the form that HEAR asks for.

    Args:
        model_file_path (`str` or `Path`): As the `model` of an [`Embedder`].

    Attributes:
        sample_rate (`int`): Of audio, in Hz.
        scene_embedding_size, timestamp_embedding_size (`int`): How many numbers each embedding has.
    """

    def __init__(self, model_file_path):
        super().__init__()
        self.scene = Embedder(model_file_path, level="clip")
        self.timestamps = Embedder(model_file_path, level="frame")
        self.encoder = self.timestamps.encoder = self.scene.encoder  # one copy, which `to` moves
        self.sample_rate = self.scene.feature_extractor.sampling_rate
        self.scene_embedding_size = self.timestamp_embedding_size = self.scene.width

    def embed(self, embedder: Embedder, audio: torch.Tensor, **options):
        embedder.device = self.encoder.device
        return embedder(audio.detach().float().cpu(), **options)


def load_model(model_file_path) -> HearModel:
    """A model from a folder or the Hub; errors as from [`Embedder`]."""
    return HearModel(model_file_path)


def get_scene_embeddings(audio: torch.Tensor, model: HearModel) -> torch.Tensor:
    """Clips `(num_clips, num_samples)` at the model's rate -> `(num_clips, scene_embedding_size)`, float32."""
    return torch.from_numpy(model.embed(model.scene, audio)).to(audio.device)


def get_timestamp_embeddings(audio: torch.Tensor, model: HearModel) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Clips `(num_clips, num_samples)` at the model's rate -> embeddings `(num_clips, num_steps,
    timestamp_embedding_size)`, float32, and the centres of the steps in milliseconds, `(num_clips, num_steps)`.
    """
    embeddings, times = model.embed(model.timestamps, audio, return_times=True)
    stacked = [torch.stack([torch.from_numpy(each).float() for each in rows]) for rows in (embeddings, times)]
    return stacked[0].to(audio.device), 1000 * stacked[1].to(audio.device)
