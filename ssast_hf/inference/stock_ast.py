"""What a stock AST takes, also one that was an SSAST model whose patches are not square."""

from ..storage.guards import UnreadableFile


def check_length(name, of_extractor: int, of_model: int):
    """UnreadableFile if a model's feature extractor makes inputs of another length, in frames, than it takes."""
    if of_extractor != of_model:
        raise UnreadableFile(
            f"{name}: preprocessor_config.json has max_length={of_extractor}, config.json {of_model}, and a stock AST "
            "takes inputs of its own length alone. Correct one of them."
        )


def columns_of(kernel) -> int:
    """
    How many frames a patch of stock AST really sees.

    Args:
        kernel (`torch.Tensor` of shape `(D, 1, P, P)`): Of the projection of its patches; zero beyond
            what was exported.
    """
    return 1 + max(kernel.float().abs().amax(dim=(0, 1, 2)).nonzero().flatten().tolist(), default=0)
