"""
The pretraining step as the released code organises it, for comparison: fused qkv, attention written out, masks drawn
in Python clip by clip, one pass of the encoder for each of the two losses, losses summed up clip by clip.

Written from the description of the released procedure; its numbers agree with `SSASTForPretraining` for equal weights
and masks, which `pretraining_step.py` checks before it measures.
"""

import random

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch_size, length, width = x.shape
        qkv = self.qkv(x).reshape(batch_size, length, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attention = (query @ key.transpose(-2, -1) * (width // self.num_heads) ** -0.5).softmax(dim=-1)
        return self.proj((attention @ value).transpose(1, 2).reshape(batch_size, length, width))


class Block(nn.Module):
    def __init__(self, width, num_heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, num_heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class Baseline(nn.Module):
    """Parameter names are those of the original, so that `rename_original` maps them."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.mask_embed = nn.Parameter(torch.zeros(1, 1, width))
        self.v = nn.Module()
        self.v.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.v.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.v.pos_embed = nn.Parameter(torch.zeros(1, config.num_patches + 2, width))
        self.v.patch_embed = nn.Module()
        self.v.patch_embed.proj = nn.Conv2d(1, width, config.patch_shape, stride=config.patch_shape)
        self.v.blocks = nn.ModuleList(
            Block(width, config.num_attention_heads) for _ in range(config.num_hidden_layers)
        )
        self.v.norm = nn.LayerNorm(width, eps=1e-6)
        area = config.patch_shape[0] * config.patch_shape[1]
        self.cpredlayer = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, area))
        self.gpredlayer = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, area))

    def forward(self, input_values, masks=None):
        """The joint loss of (B, frames, mels); `masks` are two lists of patch indices, drawn if not given."""
        spectrogram = input_values.transpose(1, 2).unsqueeze(1)
        patches = nn.functional.unfold(spectrogram, self.config.patch_shape, stride=self.config.patch_shape)
        patches = patches.transpose(1, 2)
        masks = masks or [[self.draw_mask() for _ in input_values] for _ in range(2)]
        hidden = self.encode(spectrogram, masks[0])
        nce, count = 0.0, 0
        for clip, mask in enumerate(masks[0]):
            similarity = patches[clip, mask] @ self.cpredlayer(hidden[clip, mask + 2]).T
            nce = nce - similarity.log_softmax(dim=1).diagonal().sum()
            count += len(mask)
        hidden = self.encode(spectrogram, masks[1])
        predictions = torch.stack([self.gpredlayer(hidden[clip, mask + 2]) for clip, mask in enumerate(masks[1])])
        targets = torch.stack([patches[clip, mask] for clip, mask in enumerate(masks[1])])
        return nce / count + 10 * (predictions - targets).square().mean()

    def encode(self, spectrogram, masks):
        x = self.v.patch_embed.proj(spectrogram).flatten(2).transpose(1, 2)
        keep = torch.ones_like(x)
        for clip, mask in enumerate(masks):
            keep[clip, mask] = 0
        x = x * keep + (1 - keep) * self.mask_embed
        tokens = torch.cat((self.v.cls_token, self.v.dist_token), dim=1).expand(len(x), -1, -1)
        x = torch.cat((tokens, x), dim=1) + self.v.pos_embed
        for block in self.v.blocks:
            x = block(x)
        return self.v.norm(x)

    def draw_mask(self):
        num_patches, time = self.config.num_patches, self.config.grid_shape[1]
        if self.config.grid_shape[0] == 1:
            return torch.tensor(random.sample(range(num_patches), self.config.num_masked_patches))
        marked, size = set(), random.choice((3, 4, 5))
        while len(marked) <= self.config.num_masked_patches:
            start = random.randrange(num_patches)
            block = (start + time * i + j for i in range(size) for j in range(size))
            marked.update(patch for patch in block if 0 < patch < num_patches)
        return torch.tensor(sorted(marked)[: self.config.num_masked_patches])
