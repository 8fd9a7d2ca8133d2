"""What models are used for: embeddings of recordings of any length, and what a fine-tuned head says of them."""

__all__ = ["Embedder", "Predictor"]


def __getattr__(name: str):
    """`Embedder` and `Predictor`, which import PyTorch, when they are asked for: the modules of commands lie here."""
    if name == "Embedder":
        from .embedder import Embedder

        return Embedder
    if name == "Predictor":
        from .predicting.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
