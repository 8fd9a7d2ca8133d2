"""What the tabs *Listen and hide* and *Look inside* show of a clip: pictures, sounds, sentences."""

from dataclasses import dataclass

import numpy as np
import torch

from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.embedder import Embedder
from ..modeling_ssast import SSASTForPretraining
from .attending import attention_from
from .guessing import Guess, candidates, guess
from .hiding import choose_patches
from .inversion import to_sound
from .pictures import draw_canvas, draw_spectrogram, place_in
from .sounds import Part, as_wav, frame_shift, read_part


@dataclass
class Shown:
    """What is shown of a guess, and what it takes to show more of it."""

    notice: str
    facts: str
    pictures: list[np.ndarray]
    sounds: list[bytes]
    ranks: np.ndarray
    found: Guess
    grid_shape: tuple[int, int]
    patch_shape: tuple[int, int]
    frame_shift: float
    begin: float

    @property
    def num_hidden(self) -> int:
        return len(self.found.places)


def features_of(model, extractor: SSASTFeatureExtractor, path, second: float) -> tuple[torch.Tensor, Part]:
    """The spectrogram (1, num_frames, num_mel_bins) of what a model looks at together, on its device, and the part."""
    part = read_part(path, extractor, model.config.patch_shape[1], model.config.max_length, second)
    options = dict(padding=False, truncation=False, return_attention_mask=False, return_tensors="pt")
    inputs = extractor(part.samples, sampling_rate=extractor.sampling_rate, **options)
    return inputs["input_values"].to(model.device, model.dtype), part


def show_guess(
    model: SSASTForPretraining,
    extractor: SSASTFeatureExtractor,
    path: str | None,
    second: float,
    strategy: str,
    share: float,
    seed: int,
    painted: np.ndarray | None = None,
) -> Shown:
    """
    Hide patches of a recording and show what a model makes of them.

    Args:
        model, extractor: With the heads of pretraining.
        path (`str`, *optional*), second (`float`): The recording, and from where on.
        strategy, share, seed, painted: As of [`choose_patches`].

    Raises:
        ValueError: If there is nothing to hide, or if it is no audio or too short.
        OSError: If there is no such file.
    """
    values, part = features_of(model, extractor, path, second)
    grid_shape = model.base_model.grid_shape(values)
    mask = choose_patches(strategy, share, seed, grid_shape, painted)
    found = guess(model, values, mask.to(values.device))
    limits = float(found.original.min()), float(found.original.max())
    seen, errors = np.where(found.hidden, np.nan, found.original), found.squared_error
    rate, shift = extractor.sampling_rate, frame_shift(extractor)
    pictures = [
        *(draw_spectrogram(each, shift, part.begin, limits) for each in (found.original, seen, found.reconstructed)),
        draw_spectrogram(errors, shift, part.begin, (0.0, float(np.nanpercentile(errors, 99)))),
    ]
    sounds = [part.samples, to_sound(found.original, extractor), to_sound(found.reconstructed, extractor)]
    return Shown(
        notice=" ".join(part.notes),
        facts=facts_of(found, mask.numel(), model.config.objective),
        pictures=pictures,
        sounds=[as_wav(each, rate) for each in sounds],
        ranks=draw_ranks(found, grid_shape, model.config.patch_shape, shift, part.begin),
        found=found,
        grid_shape=grid_shape,
        patch_shape=model.config.patch_shape,
        frame_shift=shift,
        begin=part.begin,
    )


def facts_of(found: Guess, num_patches: int, objective: str) -> str:
    """What was measured of a guess, in sentences."""
    count = len(found.places)
    sentences = [
        f"**{count}** of {num_patches} patches were hidden ({count / num_patches:.0%}).",
        f"Pretext accuracy of this clip: **{found.accuracy:.1%}** are told apart from all others; by chance "
        f"{1 / count:.1%}.",
        f"In the list of each hidden place the right patch has the rank {np.median(found.ranks):.0f} (median), and is "
        f"among the first five in {np.mean(found.ranks <= 5):.0%}.",
        f"Mean squared error: {found.error:.3f}.",
    ]
    if found.duplicates:
        sentences.append(f"{found.duplicates:.0%} have an equal one (digital silence), which nobody could tell apart.")
    if objective == "generative":
        sentences.append("This model was trained to reconstruct alone: its discriminative head has learned nothing.")
    elif objective == "discriminative":
        sentences.append("This model was trained to tell apart alone: what it reconstructs means nothing.")
    return " ".join(sentences)


def draw_ranks(found: Guess, grid_shape, patch_shape, shift: float, begin: float) -> np.ndarray:
    """Ranks of the right patches, in their places; logarithmic, bright for the first."""
    values = in_places(found, -np.log(found.ranks), grid_shape, patch_shape)
    over = (values, "viridis", (-float(np.log(max(len(found.places), 2))), 0.0))
    return draw_spectrogram(found.original, shift, begin, colours="gray", over=over)


def show_place(shown: Shown, number: int) -> tuple[np.ndarray, list[list]]:
    """Where the discriminative head looks for a hidden patch, by its number from 0: a picture, and a table."""
    number = min(max(number, 0), shown.num_hidden - 1)
    row = shown.found.probabilities[number]
    values = in_places(shown.found, row, shown.grid_shape, shown.patch_shape)
    marks = [box_of(int(shown.found.places[number]), shown.grid_shape, shown.patch_shape)]
    over = (values, "plasma", (0.0, float(row.max())))
    options: dict = dict(colours="gray", over=over, marks=marks, is_even=False)
    image = draw_spectrogram(shown.found.original, shown.frame_shift, shown.begin, **options)
    return image, candidates(shown.found, number, shown.grid_shape, shown.patch_shape, shown.frame_shift, shown.begin)


def number_at(shown: Shown, picture_xy) -> int | None:
    """The number, from 1, of the hidden place at a pixel of the picture of ranks; `None` if there is none."""
    found = place_in(picture_xy, *shown.found.original.shape)
    if found is None:
        return None
    frequency, time = found[0] // shown.patch_shape[0], found[1] // shown.patch_shape[1]
    numbers = np.flatnonzero(shown.found.places == frequency * shown.grid_shape[1] + time)
    return int(numbers[0]) + 1 if len(numbers) else None


def in_places(found: Guess, values: np.ndarray, grid_shape, patch_shape) -> np.ndarray:
    """Values (M,) of the hidden patches as a picture (num_mel_bins, num_frames), NaN elsewhere."""
    grid = np.full(grid_shape[0] * grid_shape[1], np.nan)
    grid[found.places] = values
    return np.kron(grid.reshape(grid_shape), np.ones(patch_shape))


def box_of(place: int, grid_shape, patch_shape) -> tuple[int, int, int, int]:
    """The first frame and bin of a patch, and how many it has."""
    frequency, time = divmod(place, grid_shape[1])
    return time * patch_shape[1], frequency * patch_shape[0], patch_shape[1], patch_shape[0]


def canvas_of(model, extractor: SSASTFeatureExtractor, path: str | None, second: float) -> np.ndarray:
    """The patches of a recording, to paint on; errors as of [`show_guess`]."""
    values, _ = features_of(model, extractor, path, second)
    frequency, time = model.base_model.grid_shape(values)
    height, width = model.config.patch_shape
    return draw_canvas(values[0, : time * width, : frequency * height].float().cpu().T.numpy())


def show_attention(
    embedder: Embedder, path: str | None, second: float, layer: int, head: int | None, at_second: float, mel: int
) -> tuple[str, np.ndarray]:
    """
    What the patch at a second (from the beginning of the part) and a mel bin attends to: a sentence and a picture;
    errors as of [`show_guess`].
    """
    encoder, config, shift = embedder.encoder, embedder.config, frame_shift(embedder.feature_extractor)
    values, part = features_of(encoder, embedder.feature_extractor, path, second)
    frequency, time = encoder.grid_shape(values)
    row = min(max(int(mel) // config.frequency_stride, 0), frequency - 1)
    column = min(max(int(round(at_second / shift, 6)) // config.time_stride, 0), time - 1)
    attention = attention_from(encoder, values, layer, (row, column), head)
    strides = (config.frequency_stride, config.time_stride)
    over = np.kron(attention.patches, np.ones(strides))
    spectrogram = values[0].float().cpu().T.numpy()[: over.shape[0], : over.shape[1]]
    over = over[: spectrogram.shape[0], : spectrogram.shape[1]]
    marks = [(column * strides[1], row * strides[0], *config.patch_shape[::-1])]
    strongest = float(attention.patches.max())
    options: dict = dict(colours="gray", over=(over, "plasma", (0.0, strongest)), marks=marks, is_even=False)
    picture = draw_spectrogram(spectrogram, shift, part.begin, **options)
    sentence = (
        f"Layer {layer}, {'mean of all heads' if head is None else f'head {head}'}: the outlined patch gives "
        f"{attention.front:.0%} of its attention to the two tokens that stand for the clip, and at most "
        f"{strongest:.1%} to a single patch; evenly it would be {1 / (frequency * time + 2):.1%} each."
    )
    return " ".join([*part.notes, sentence]), picture


def attended_place(embedder: Embedder, path: str | None, second: float, picture_xy) -> tuple[float, int] | None:
    """The second and the mel bin at a pixel of [`show_attention`]'s picture; `None` beside the spectrogram."""
    values, _ = features_of(embedder.encoder, embedder.feature_extractor, path, second)
    (frequency, time), config = embedder.encoder.grid_shape(values), embedder.config
    mels = min(frequency * config.frequency_stride, values.shape[2])
    found = place_in(picture_xy, mels, min(time * config.time_stride, values.shape[1]))
    return None if found is None else (found[1] * frame_shift(embedder.feature_extractor), found[0])
