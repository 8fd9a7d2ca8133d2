import random

import pytest
import torch

from ssast_hf.masking_ssast import count_masked_patches, first_alike, sample_mask


STRATEGIES = ("cluster", "random", "original")


def draw(strategy, batch_size=64, grid_shape=(8, 64), num_masked=400, seed=0, valid=None):
    if valid is None:
        valid = torch.ones(batch_size, grid_shape[0] * grid_shape[1], dtype=torch.bool)
    count = count_masked_patches(num_masked, grid_shape[0] * grid_shape[1], valid.sum(dim=1))
    return sample_mask(strategy, grid_shape, count, valid, torch.Generator().manual_seed(seed))


def naive_original_mask(grid_shape, num_masked):
    """The released procedure as it is published, a loop per clip."""
    num_patches, marked, size = grid_shape[0] * grid_shape[1], set(), random.randrange(3) + 3
    while len(marked) <= num_masked:
        start = random.randrange(num_patches)
        block = {start + grid_shape[1] * i + j for i in range(size) for j in range(size)}
        marked |= {patch for patch in block if 0 < patch < num_patches}
    mask = torch.zeros(num_patches, dtype=torch.bool)
    mask[sorted(marked)[:num_masked]] = True
    return mask


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("num_masked", [1, 100, 400, 511])
def test_exact_count(strategy, num_masked):
    assert (draw(strategy, num_masked=num_masked).sum(dim=1) == num_masked).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_reproducible_from_the_generator_alone(strategy):
    torch.manual_seed(1)
    first = draw(strategy, seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, draw(strategy, seed=3))
    assert not torch.equal(first, draw(strategy, seed=4))


@pytest.mark.parametrize("strategy", ["cluster", "random"])
def test_every_patch_has_the_same_chance(strategy):
    share = draw(strategy, batch_size=2000).float().mean(dim=0)
    assert share.min() > 0.73
    assert share.max() < 0.83


def test_original_strategy_has_the_released_distribution():
    random.seed(0)
    naive = torch.stack([naive_original_mask((8, 64), 400) for _ in range(1000)]).float()
    ours = draw("original", batch_size=1000).float()
    ours_by_place, naive_by_place = (masks.mean(dim=0).view(8, 64) for masks in (ours, naive))
    torch.testing.assert_close(ours_by_place.mean(dim=1), naive_by_place.mean(dim=1), rtol=0, atol=0.02)
    # Blocks that reach beyond the end of a row go on in the next one, so the first columns are masked as often.
    torch.testing.assert_close(ours_by_place[1:].mean(dim=0), naive_by_place[1:].mean(dim=0), rtol=0, atol=0.03)
    assert ours[:, 0].sum() == ours[:, -1].sum() == 0  # never masked in the released code


@pytest.mark.parametrize(("strategy", "low", "high"), [("cluster", 0.83, 0.87), ("random", 0.64, 0.68)])
def test_neighbours_agree_as_often_as_blocks_imply(strategy, low, high):
    grid = draw(strategy, batch_size=500).view(-1, 8, 64)
    assert low < (grid[:, :, 1:] == grid[:, :, :-1]).float().mean() < high


def test_clusters_are_square_blocks():
    """As many patches as one block has, in a large grid: a clip whose first block is of that size shows a square."""
    for size in (3, 4, 5):
        masks = draw("cluster", batch_size=60, grid_shape=(40, 40), num_masked=size**2).view(-1, 40, 40)
        extents = []
        for mask in masks:
            rows, columns = mask.nonzero(as_tuple=True)
            extents.append((int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1))
        share = extents.count((size, size)) / len(extents)
        assert 0.1 < share < 0.6  # a third of the clips, less what the edges cut


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_single_row_is_masked_at_random(strategy):
    assert torch.equal(draw(strategy, grid_shape=(1, 512)), draw("random", grid_shape=(1, 512)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_padding_is_never_masked_and_short_clips_mask_the_same_share(strategy):
    valid = torch.zeros(4, 8, 64, dtype=torch.bool)
    for clip, columns in enumerate((64, 10, 1, 0)):
        valid[clip, :, :columns] = True
    valid = valid.flatten(1)
    mask = draw(strategy, valid=valid)
    assert not (mask & ~valid).any()
    assert mask.sum(dim=1).tolist() == [400, 62, 6, 0]


def test_count_leaves_something_to_see():
    num_valid = torch.tensor([0, 1, 2, 512, 1024])
    assert count_masked_patches(400, 512, num_valid).tolist() == [0, 0, 1, 400, 800]
    assert count_masked_patches(1, 512, num_valid).tolist() == [0, 0, 1, 1, 2]


def test_duplicates_match_a_comparison_of_all_pairs():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (4, 20, 3), generator=generator).float()
    targets[0, 5] = -0.0  # equal to 0.0, but not bitwise
    targets[0, 6] = 0.0
    naive = [
        [
            next(j for j in range(20) if targets[clip, j].numpy().tobytes() == targets[clip, i].numpy().tobytes())
            for i in range(20)
        ]
        for clip in range(4)
    ]
    assert naive != [list(range(20))] * 4
    assert first_alike(targets).tolist() == naive
