"""Where clips lie on a map: vectors that are alike lie close together."""

import numpy as np

from .nearest import normalised


# As usual; fewer where there are fewer clips.
PERPLEXITY = NEIGHBOURS = 30
# Axes that are looked at, those with most variance: more take time and change little.
MOST_AXES = 50
# UMAP needs more clips than these to begin with.
FEW = 20


def place_on_map(vectors: np.ndarray) -> tuple[np.ndarray, str]:
    """
    Places of clips, the same every time.

    Args:
        vectors (`np.ndarray` of shape `(num_clips, D)`): At least 3.

    Returns:
        Places `(num_clips, 2)`, float32, both axes from 0 to 1, and the method: UMAP if umap-learn is
        installed, else t-SNE.
    """
    from sklearn.decomposition import PCA

    points = normalised(vectors)
    count = len(points)
    if min(points.shape) > MOST_AXES:
        points = PCA(MOST_AXES, random_state=0).fit_transform(points)
    places, method = None, "t-SNE"
    if count > FEW:
        places = by_umap(points)
        method = method if places is None else "UMAP"
    if places is None:
        from sklearn.manifold import TSNE

        perplexity = max(1, min(PERPLEXITY, (count - 1) / 3))
        places = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(points)
    # Both axes fill the map: only which clips are close means anything.
    places = places - places.min(axis=0)
    reach = places.max(axis=0)
    return (places / np.where(reach > 0, reach, 1)).astype(np.float32), method


def by_umap(points: np.ndarray) -> np.ndarray | None:
    """Places (num_clips, 2) by UMAP, `None` where it is not installed."""
    try:
        from umap import UMAP
    except ImportError:
        return None
    count = min(NEIGHBOURS, len(points) - 1)
    return np.asarray(UMAP(n_neighbors=count, random_state=0, n_jobs=1).fit_transform(points))
