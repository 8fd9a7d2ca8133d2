"""What a pretrained encoder is used for: embeddings of recordings of any length."""

__all__ = ["Embedder"]


def __getattr__(name: str):
    """The `Embedder`, which imports PyTorch, when it is asked for: the modules of commands lie here, too."""
    if name != "Embedder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .embedder import Embedder

    return Embedder
