"""The README's commands and code run as they stand there, in its order, in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from original import original_checkpoint

from ssast_hf.checkpoints.download import cache_path
from ssast_hf.checkpoints.records import released_checkpoints


README = (Path(__file__).parent.parent / "README.md").read_text()


def test_every_block_runs(tmp_path, hub):
    hub.tokens["hf_reader"] = {"your-name"}
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf_home"), "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_reader"}
    # Where `ssast-hf` is installed.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    # As if the checkpoint had been downloaded: of the released size and layout, with random weights.
    record = released_checkpoints()["SSAST-Tiny-Patch-400"]
    cached = tmp_path / "hf_home" / "ssast_hf" / cache_path(record["name"], record["url"]).name
    cached.parent.mkdir(parents=True)
    torch.save(original_checkpoint(hidden_size=192, num_layers=12, max_length=1024), cached)
    assert shutil.which("ssast-hf", path=environment["PATH"]), "the package is not installed in this environment"

    blocks = re.findall(r"^```(bash|python)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["bash", "python"] * 4
    printed = []
    for language, block in blocks:
        if "trust_remote_code" in block:  # for those who have not installed the package
            block = "import sys\nsys.modules['ssast_hf'] = None\n" + block
        command = ["bash", "-euc", block] if language == "bash" else [sys.executable, "-c", block]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert result.returncode == 0, f"{block}\n{result.stderr}"
        printed.append(result.stdout)
    assert "torch.Size([8, 192])\ntorch.Size([8, 64, 192])\ntorch.Size([8, 514, 192])" in printed[1]
    assert "hidden states agree with stock AST" in printed[4]
    assert "animal" in printed[5]
    assert printed[7] == "torch.Size([1, 192])\n"
    for folder in ("ssast-continued", "ssast-finetuned", "ast-finetuned", "ssast-again"):
        assert (tmp_path / folder / "model.safetensors").exists()


def test_table_lists_every_released_checkpoint():
    rows = {row.split("|")[1].strip(): row for row in README.splitlines() if row.startswith("| SSAST-")}
    records = released_checkpoints()
    assert rows.keys() == records.keys()
    for name, record in records.items():
        cells = [cell.strip() for cell in rows[name].strip("|").split("|")]
        height, width = record["patch_size"]
        assert cells[1:4] == [f"{height} x {width}", str(record["num_masked_patches"]), record["parameters"]]
        published = record["published"]
        assert cells[5:] == [str(published.get(f"average_{kind}", "")) for kind in ("audio", "speech")]
