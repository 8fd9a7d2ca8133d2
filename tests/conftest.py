import os


# Read when huggingface_hub is imported. The Hub of the tests knows the older way to upload large files.
os.environ["HF_HUB_DISABLE_XET"] = "1"
# Several processes with as many threads as cores are slower than with one each; so are those that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from fresh import FreshProcess
from hub_server import HubServer
from huggingface_hub import hf_api
from original import original_checkpoint

from ssast_hf import SSASTConfig, SSASTForPretraining


@pytest.fixture
def config():
    """A small model with 4 x 8 patches."""
    return SSASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        patch_size=8,
        num_mel_bins=32,
        max_length=64,
        num_masked_patches=20,
    )


@pytest.fixture
def model(config):
    """The same small model for every test, in training mode."""
    torch.manual_seed(0)
    return SSASTForPretraining(config).train()


@pytest.fixture
def input_values():
    """A batch of three clips, (3, 64, 32)."""
    return torch.randn(3, 64, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def original_file(tmp_path):
    """A small pretraining checkpoint in the original layout, on disk."""
    path = tmp_path / "original.pth"
    torch.save(original_checkpoint(), path)
    return path


@pytest.fixture
def hub(monkeypatch):
    """A Hub on the loopback address; the token `hf_owner` may write to `org`."""
    server = HubServer()
    # In the address of a commit huggingface_hub before version 1 looks for its own endpoint alone.
    if (find := getattr(hf_api, "repo_type_and_id_from_hf_id", None)) is not None:
        monkeypatch.setattr(
            hf_api, find.__name__, lambda name, hub_url=None: find(name, server.url if server.url in name else hub_url)
        )
    yield server
    server.close()


@pytest.fixture
def run_without_package(tmp_path):
    """Run Python code in a fresh process in which `ssast_hf` cannot be imported; returns what it prints."""

    def run(code: str, *arguments, **environment) -> str:
        environment = {"HF_HOME": str(tmp_path / "hf_home")} | environment
        return FreshProcess(code, arguments, tmp_path, has_package=False, **environment).finish()

    return run
