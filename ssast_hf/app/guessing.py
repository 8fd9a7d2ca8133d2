"""What a pretrained model makes of hidden patches: how they sound, and which is which."""

from dataclasses import dataclass

import numpy as np
import torch

from ..modeling_ssast import SSASTForPretraining
from ..training.plots import patches_to_spectrogram


@dataclass
class Guess:
    """
    A spectrogram of which M of N patches were hidden.

    Args:
        original, reconstructed (`np.ndarray` of shape `(num_mel_bins, num_frames)`): Normalised log-mel energies, and
            the same with the model's guesses in the hidden places. Rows and frames outside all patches are left out.
        hidden (`np.ndarray` of shape `(num_mel_bins, num_frames)`, bool): True = hidden.
        places (`np.ndarray` of shape `(M,)`): The numbers of the hidden patches, frequency-major.
        probabilities (`np.ndarray` of shape `(M, M)`): For each hidden place (row), how likely the discriminative head
            holds each of the hidden patches (column) to belong there, and in none of the other places: columns add up
            to 1.
        ranks (`np.ndarray` of shape `(M,)`): At which place of that row the right patch is, 1 for the likeliest.
        accuracy (`float`): Share of hidden patches that are told apart from all others, as in pretraining.
        error (`float`): Mean squared error of the hidden patches.
        duplicates (`float`): Share of hidden patches that have an equal one, and cannot be told apart.
    """

    original: np.ndarray
    reconstructed: np.ndarray
    hidden: np.ndarray
    places: np.ndarray
    probabilities: np.ndarray
    ranks: np.ndarray
    accuracy: float
    error: float
    duplicates: float

    @property
    def squared_error(self) -> np.ndarray:
        """(num_mel_bins, num_frames), NaN where nothing was hidden."""
        return np.where(self.hidden, np.square(self.reconstructed - self.original), np.nan)


@torch.no_grad()
def guess(model: SSASTForPretraining, input_values: torch.Tensor, bool_masked_pos: torch.Tensor) -> Guess:
    """
    Hide patches from a model and ask for them.

    Args:
        model ([`SSASTForPretraining`]): In evaluation mode; its patches do not overlap.
        input_values (`torch.FloatTensor` of shape `(1, num_frames, num_mel_bins)`): A clip.
        bool_masked_pos (`torch.BoolTensor` of shape `(1, num_patches)`): True = hidden.
    """
    said: list[torch.Tensor] = []
    listener = model.discrimination_head.register_forward_hook(lambda module, inputs, output: said.append(output))
    try:
        outputs = model(input_values, bool_masked_pos=bool_masked_pos, return_dict=True)
    finally:
        listener.remove()
    mask = bool_masked_pos[0].cpu()
    targets = model.patchify(input_values)[0].cpu()
    # Those that are hidden come first, in their order, as in the targets; on an accelerator others follow.
    scores = said[0][0, : int(mask.sum())].float().cpu() @ targets[mask].T
    # For each patch, in which place it was: as accuracy is measured, so that its first ranks are what that counts.
    probabilities = scores.softmax(dim=0)
    right = probabilities.diagonal().unsqueeze(1)
    picture = patches_to_spectrogram(targets, model.config).numpy()
    hidden = patches_to_spectrogram(mask[:, None].expand_as(targets), model.config).numpy()
    predicted = patches_to_spectrogram(outputs.reconstruction[0].float().cpu(), model.config).numpy()
    return Guess(
        original=picture,
        reconstructed=np.where(hidden, predicted, picture),
        hidden=hidden,
        places=mask.nonzero().flatten().numpy(),
        probabilities=probabilities.numpy(),
        ranks=(1 + (probabilities > right).sum(dim=1)).numpy(),
        accuracy=float(outputs.accuracy),
        error=float(outputs.generative_loss),
        duplicates=float(outputs.duplicate_fraction),
    )


def candidates(
    found: Guess,
    number: int,
    grid_shape: tuple[int, int],
    patch_shape: tuple[int, int],
    frame_shift: float,
    begin: float,
    count: int = 5,
) -> list[list]:
    """
    The patches that the head holds for likeliest in a hidden place, as rows for people: rank, seconds from the
    beginning of the recording, mel bins, probability, and whether it is the right one. `frame_shift`, and `begin`,
    where the spectrogram begins, are in seconds.
    """
    others = np.arange(len(found.places)) != number  # of equal ones, the right one first, as in its rank
    order = np.lexsort((others, -found.probabilities[number]))[:count]
    rows = []
    for rank, candidate in enumerate(order.tolist(), start=1):
        frequency, time = divmod(int(found.places[candidate]), grid_shape[1])
        second, low = begin + time * patch_shape[1] * frame_shift, frequency * patch_shape[0]
        mels = f"{low} to {low + patch_shape[0] - 1}"
        share = f"{found.probabilities[number, candidate]:.1%}"
        rows.append([rank, f"{second:.2f}", mels, share, "yes" if candidate == number else ""])
    return rows
