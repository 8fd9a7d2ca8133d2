"""The numbers recorded of the original implementation, of models that are made again. See `references/README.md`."""

import json
from pathlib import Path

import numpy as np
import torch
from original import original_checkpoint

from ssast_hf.conversion.original import rename_original


REFERENCES = Path(__file__).parent / "references"
HIDDEN_SIZES = {"tiny": 192, "small": 384}
ENCODER = "audio_spectrogram_transformer."
# Of these gradients the norms are known; their names there and here.
GRADIENTS = {
    "mask_embed": ENCODER + "embeddings.mask_token",
    "v.cls_token": ENCODER + "embeddings.cls_token",
    "v.pos_embed": ENCODER + "embeddings.position_embeddings",
    "v.patch_embed.proj.weight": ENCODER + "embeddings.patch_embeddings.projection.weight",
    "v.blocks.11.mlp.fc2.bias": ENCODER + "encoder.layer.11.output.dense.bias",
    "v.norm.weight": ENCODER + "layernorm.weight",
    "cpredlayer.2.weight": "discrimination_head.out_proj.weight",
    "gpredlayer.0.weight": "reconstruction_head.dense.weight",
}


class Reference:
    """One recorded model: its numbers, its checkpoint made again, and its inputs."""

    def __init__(self, name):
        self.numbers = np.load(REFERENCES / f"{name}.npz")
        self.meta = json.loads(str(self.numbers["meta"]))
        self.checkpoint = original_checkpoint(
            hidden_size=HIDDEN_SIZES[self.meta["model_size"]],
            num_layers=12,
            patch_shape=(self.meta["fshape"], self.meta["tshape"]),
            max_length=self.meta["input_tdim"],
            seed=self.meta["seed"],
        )
        self.state, _, self.config, self.model_class, _ = rename_original(
            self.checkpoint, num_masked_patches=self.meta["num_masked"]
        )

    def model(self):
        model = self.model_class(self.config).train()
        model.load_state_dict(self.state)
        return model

    def input_values(self, seed_offset, num_frames=None):
        random = np.random.RandomState(self.meta["seed"] + seed_offset)
        shape = (self.meta["batch"], num_frames or self.meta["input_tdim"], 128)
        return torch.from_numpy(random.standard_normal(shape).astype(np.float32))

    def mask(self, indices):
        mask = torch.zeros(len(indices), self.config.num_patches, dtype=torch.bool)
        return mask.scatter(1, torch.from_numpy(indices.astype(np.int64)), True)
