"""What stock AST, whose patches are square, makes of an SSAST model whose patches are not."""


def columns_of(kernel) -> int:
    """
    How many frames a patch of stock AST really sees.

    Args:
        kernel (`torch.Tensor` of shape `(D, 1, P, P)`): Of the projection of its patches; zero beyond
            what was exported.
    """
    return 1 + max(kernel.float().abs().amax(dim=(0, 1, 2)).nonzero().flatten().tolist(), default=0)
