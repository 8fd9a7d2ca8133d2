"""
Which patches of a spectrogram to hide, and which ones cannot be told apart. Pure functions with boolean results; for a
mask, True = masked, everywhere in this package.

Patches are indexed frequency-major, as everywhere in SSAST: `index = frequency * grid_time + time`. Nothing here loops
over clips or waits for the device, and a mask depends on nothing but the arguments and the generator's state.
"""

import torch
from torch.nn.functional import max_pool1d, max_pool2d, pad


# Side of a masked block in patches, drawn anew for every clip (Gong et al. 2022, Section 2.2).
CLUSTER_SIZES = (3, 4, 5)


def count_masked_patches(num_masked, num_patches, num_valid):
    """
    Number of patches to mask in clips of any length: the same share, at least one, and never all of them.

    Args:
        num_masked (`int`): Masked patches of a full-length clip.
        num_patches (`int`): Patches of a full-length clip.
        num_valid (`torch.Tensor` of shape `(batch_size,)`, int64): Patches that hold no padding.

    Returns:
        `torch.Tensor` of shape `(batch_size,)`, int64; 0 for clips with fewer than two valid patches.
    """
    share = torch.round(num_valid * num_masked / num_patches).long()
    return torch.minimum(share.clamp(min=1), (num_valid - 1).clamp(min=0))


def sample_mask(strategy, grid_shape, num_masked, valid, generator=None):
    """
    Draw the patches to mask.

    Args:
        strategy (`str`): `"cluster"`: square blocks of 3, 4 or 5 patches, every patch equally likely. `"random"`:
            patches independent of each other. `"original"`: the distribution of the released code, see
            [`original_mask`]. A grid with a single row of frequencies (a frame model) is masked at random whatever the
            strategy, as in the released code.
        grid_shape (`tuple[int, int]`): Patches along (frequency, time).
        num_masked (`torch.Tensor` of shape `(batch_size,)`, int64): Patches to mask per clip, below its valid ones.
        valid (`torch.Tensor` of shape `(batch_size, num_patches)`, bool): Patches that may be masked.
        generator (`torch.Generator`, *optional*): Source of randomness; PyTorch's global one if not given.

    Returns:
        `torch.Tensor` of shape `(batch_size, num_patches)`, bool, on the device of `valid`; True = masked. Row `b` has
        exactly `num_masked[b]` True entries, all of them valid.
    """
    if grid_shape[0] == 1 or strategy == "random":
        return earliest(uniform(valid.shape, valid.device, generator), num_masked, valid)
    if strategy == "cluster":
        return cluster_mask(grid_shape, num_masked, valid, generator)
    return original_mask(grid_shape, num_masked, valid, generator)


def cluster_mask(grid_shape, num_masked, valid, generator=None):
    """
    Square blocks at random positions; arguments and result as in [`sample_mask`].

    Blocks arrive in random order and the patches that are covered first are masked. Blocks may overhang the upper and
    left edge, so that every patch lies in equally many of them.
    """
    overhang = max(CLUSTER_SIZES) - 1
    batch_size, frequency, time = valid.shape[0], grid_shape[0] + overhang, grid_shape[1] + overhang
    block_order = random_order(batch_size, frequency * time, valid.device, generator).view(batch_size, frequency, time)
    arrivals = []
    for size in CLUSTER_SIZES:
        # The earliest block among those that cover a patch: pooling takes a maximum, so the order is negated. The
        # slice drops the part of the overhang that a block of this size cannot use.
        first = -max_pool2d(-block_order, size, stride=1)
        arrivals.append(first[:, overhang - size + 1 :, overhang - size + 1 :].flatten(1))
    arrival = choose_per_clip(arrivals, generator)
    # The patches of a block arrive together. A fraction of one step decides between them and favours none.
    return earliest(arrival + uniform(valid.shape, valid.device, generator), num_masked, valid)


def original_mask(grid_shape, num_masked, valid, generator=None):
    """
    The distribution of the released code, faults included; arguments and result as in [`sample_mask`].

    Blocks start at any patch, wrap from the end of a row into the next one, and never cover patch 0. They arrive until
    *more* than `num_masked` patches are covered; then those with the largest indices are dropped again. Where the
    released code would draw forever, because too few patches can be covered, patch 0 is used after all.
    """
    batch_size, num_patches = valid.shape
    # The original draws starts with replacement; repeats change nothing, so only the order of first draws matters.
    block_order = random_order(batch_size, num_patches, valid.device, generator)
    never = float("inf")
    arrivals = []
    for size in CLUSTER_SIZES:
        # A patch is covered by the blocks that start up to size - 1 patches and up to size - 1 rows before it.
        first = max_pool1d(pad(-block_order, (size - 1, 0), value=-never), size, stride=1)
        rows_before = pad(first, (grid_shape[1] * (size - 1), 0), value=-never)
        arrivals.append(-max_pool1d(rows_before, size, stride=1, dilation=grid_shape[1]))
    arrival = choose_per_clip(arrivals, generator)
    is_patch_0 = torch.arange(num_patches, device=valid.device) == 0
    arrival = arrival.masked_fill(is_patch_0, num_patches).masked_fill(~valid, never)
    last_block = arrival.sort(dim=1).values.gather(1, num_masked[:, None])
    covered = (arrival <= last_block) & valid
    return covered & (covered.cumsum(dim=1) <= num_masked[:, None])


def first_alike(targets: torch.Tensor) -> torch.Tensor:
    """
    Which patches of a clip are bitwise equal although they are different ones.

    Args:
        targets (`torch.FloatTensor` of shape `(batch_size, num_patches, patch_area)`): Patches in float32.

    Returns:
        `torch.LongTensor` of shape `(batch_size, num_patches)`: for each patch, the first one of its clip that is
        equal to it, which may be itself. Patches are equal if they have the same one.
    """
    if is_exporting():
        return first_alike_in_graph(targets)
    bits = targets.contiguous().view(torch.int32).long()
    # Patches are compared by a polynomial of their bits modulo 2^64, since comparing all pairs pixel by pixel would
    # take gigabytes. Integers do not round: equal patches have equal values.
    powers = torch.full(bits.shape[2:], 6364136223846793005, device=bits.device).cumprod(dim=0)
    fingerprint = (bits * powers).sum(dim=2)  # (B, N)
    # Sorted, those of equal value are neighbours, in their order in the clip.
    value, place = fingerprint.sort(dim=1, stable=True)
    own = torch.arange(bits.shape[1], device=bits.device)
    begins_run = pad(value[:, 1:] != value[:, :-1], (1, 0), value=True)
    run = torch.where(begins_run, own, 0).cummax(dim=1).values
    first = torch.zeros_like(place).scatter(1, place, place.gather(1, run))
    # And to be certain of the converse, each patch is compared with the first one that has its value.
    is_equal = (bits == bits.gather(1, first.unsqueeze(2).expand_as(bits))).all(dim=2)
    return torch.where(is_equal, first, own)


def first_alike_in_graph(targets: torch.Tensor) -> torch.Tensor:
    """
    The same of operations that ONNX has: numbers cannot be seen as bits there. (B, N, A) -> (B, N).

    Patches are compared by sums of whole numbers again, in steps of 2^-32 of what is normalised to a few units; and
    then, number by number, with the first that has the same sum.
    """
    weights = torch.arange(1, 2 * targets.shape[2], 2, device=targets.device) * 2654435761 % (1 << 24)
    sums = ((targets.double() * 2.0**32).long() * weights).sum(dim=2)  # (B, N)
    own = torch.arange(targets.shape[1], device=targets.device)
    first = (sums.unsqueeze(2) == sums.unsqueeze(1)).int().argmax(dim=2)
    is_equal = (targets == targets.gather(1, first.unsqueeze(2).expand_as(targets))).all(dim=2)
    return torch.where(is_equal, first, own)


def is_exporting() -> bool:
    """Whether `torch.export` is at work, and no compiler; PyTorch 2.6 has no single question for that."""
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


def first_marked(marked: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of the marked entries of each row of (B, N) bool, in order, then of others; (B, count) int64."""
    if not isinstance(count, int) and torch.fx.experimental.symbolic_shapes.statically_known_true(
        count == marked.shape[1]
    ):  # all N, whose number is open while a model is exported: in any order
        return torch.arange(count, device=marked.device).expand(marked.shape[0], -1)
    return (~marked).byte().argsort(dim=1, stable=True)[:, :count]


def earliest(score, count, valid):
    """True for the `count[b]` valid entries of row `b` with the smallest `score` (`(batch_size, num_patches)`)."""
    position = score.masked_fill(~valid, float("inf")).argsort(dim=1).argsort(dim=1)
    return position < count[:, None]


def choose_per_clip(options, generator):
    """Row `b` of a randomly chosen one of `options`, which are `(batch_size, num_patches)` each."""
    options = torch.stack(options, dim=1)
    chosen = uniform(options.shape[:1], options.device, generator).mul(options.shape[1]).long()
    return options[torch.arange(options.shape[0], device=options.device), chosen]


def random_order(batch_size, length, device, generator):
    """A random permutation of 0 ... length - 1 in each row, as float32 of shape `(batch_size, length)`."""
    return uniform((batch_size, length), device, generator).argsort(dim=1).argsort(dim=1).float()


def uniform(shape, device, generator):
    """Uniform float32 numbers in [0, 1) on `device`, drawn where the generator lives."""
    if generator is None:  # not passed on: torch.compile takes no generator with shapes that change
        return torch.rand(shape, device=device)
    numbers = torch.rand(shape, generator=generator, device=generator.device)
    # On the way to a device nobody has to wait; what comes from one is there only after that.
    return numbers.to(device, non_blocking=device.type != "cpu")
