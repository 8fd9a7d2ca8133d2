"""What a pretrained encoder is used for: embeddings of recordings of any length."""

from .embedder import Embedder


__all__ = ["Embedder"]
