"""Flash attention is reached through transformers, by a function in the kernel's place that records its calls."""

import itertools
import sys
from types import ModuleType

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import modeling_flash_attention_utils as utils

from ssast_hf import SSASTConfig, SSASTForAudioFrameClassification


# What transformers remembers of a kernel that it found.
REMEMBERED = (
    "_loaded_implementation _flash_fn _flash_varlen_fn _flash_with_kvcache_fn _pad_fn _unpad_fn "
    "_process_flash_kwargs_fn _process_with_kvcache_kwargs_fn"
).split()


@pytest.fixture
def calls(monkeypatch):
    """The lengths of the clips of each call, in tokens."""
    recorded = []

    def attend(query, key, value, scale):
        swapped = (each.transpose(1, 2) for each in (query, key, value))
        return scaled_dot_product_attention(*swapped, scale=scale).transpose(1, 2)

    def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False):
        assert not causal
        recorded.append([q.shape[1]] * q.shape[0])
        return attend(q, k, v, softmax_scale)

    def flash_attn_varlen_func(
        q,
        k,
        v,
        cu_seqlens_q,
        cu_seqlens_k,
        max_seqlen_q,
        max_seqlen_k,
        dropout_p=0.0,
        softmax_scale=None,
        causal=False,
    ):
        assert not causal
        assert torch.equal(cu_seqlens_q, cu_seqlens_k)
        borders = list(itertools.pairwise(cu_seqlens_q.tolist()))
        recorded.append([end - begin for begin, end in borders])
        return torch.cat([attend(*(x[None, a:b] for x in (q, k, v)), softmax_scale)[0] for a, b in borders])

    package, padding = ModuleType("flash_attn"), ModuleType("flash_attn.bert_padding")
    package.flash_attn_func = package.flash_attn_with_kvcache = flash_attn_func
    package.flash_attn_varlen_func = flash_attn_varlen_func
    padding.pad_input, padding.unpad_input = utils._pad_input, utils._unpad_input
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setitem(sys.modules, "flash_attn.bert_padding", padding)
    monkeypatch.setattr(utils, "is_flash_attn_2_available", lambda: True)
    for name in REMEMBERED:
        monkeypatch.setattr(utils, name, None, raising=False)
    return recorded


@pytest.mark.compatibility
@pytest.mark.parametrize("patch_size", [[32, 2], 8])
@pytest.mark.parametrize("lengths", [[64, 64], [30, 30], [64, 40], [100, 24]])
def test_clips_of_any_length_reach_the_kernel(config, calls, patch_size, lengths):
    config = SSASTConfig(
        **config.to_dict() | {"patch_size": patch_size, "frequency_stride": None, "time_stride": None}
    )
    model = SSASTForAudioFrameClassification(config).eval()
    inputs = torch.randn(2, max(lengths), 32)
    attention_mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    options = {} if lengths[0] == lengths[1] else {"attention_mask": attention_mask}
    with torch.no_grad():
        expected = model(inputs, **options).logits
        model.config._attn_implementation = "flash_attention_2"
        logits = model(inputs, **options).logits
    steps = config.time_grid(min(lengths))
    torch.testing.assert_close(logits[:, :steps], expected[:, :steps], rtol=0, atol=1e-6)
    # Padding is taken out before the kernel is called.
    tokens = [2 + config.grid_shape[0] * config.time_grid(length) for length in lengths]
    assert calls == [tokens] * config.num_hidden_layers
