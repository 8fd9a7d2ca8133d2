"""The benchmark of graphics cards runs on a processor, as small as can be, and what it writes makes the tables."""

import json
from pathlib import Path

import pytest
from fresh import FreshProcess

import ssast_hf


ROOT = Path(ssast_hf.__file__).parents[1]
CODE = f"""
import sys
sys.path[:0] = [{str(ROOT / "benchmarks")!r}, {str(ROOT / "tests")!r}]
import gpu, pretraining_step, scaling
config, _, state = pretraining_step.make_models("tiny", "16x16", "cpu", num_hidden_layers=2, max_length=128)
pretraining_step.check_same_loss_of_all_patches(state, config, pretraining_step.make_input(config, 3, "cpu"))
status = gpu.main(["--device", "cpu", "--quick", "--output", "gpu.json"])
scaling.MODELS = scaling.MODELS[2:3]
scaling.bytes_per_clip = lambda *arguments: 1e9 / 16
scaling.main(["--rates", "gpu.json"])
sys.exit(status)
"""
KEPT = f"""
import sys

sys.path.insert(0, {str(ROOT / "benchmarks")!r})
from scaling import bytes_per_clip, kept
from ssast_hf import SSASTConfig, SSASTForPretraining
config = SSASTConfig(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, max_length=64)
print(*(bytes_per_clip(config, *setting) for setting in ((False, False), (True, False), (False, True))))
model = SSASTForPretraining(config).train()
print(kept(model, 2, False) - kept(model, 1, False))
"""


@pytest.mark.slow
def test_everything_is_right_and_measured(tmp_path):
    printed = FreshProcess(CODE, [], tmp_path, has_package=True).finish()
    found = json.loads((tmp_path / "gpu.json").read_text())
    results = {row["check"]: row["result"] for row in found["correctness"]}
    assert len(results) > 15
    assert {result.partition(":")[0] for result in results.values()} == {"ok", "not run"}, results
    assert [row["step"] for row in found["speed"]] == ["two passes, eager", "one pass, sdpa", "visible only, bf16"]
    assert all(row["clips/s"] > 0 and row["of matmul"] > 0 for row in found["speed"])
    assert len(found["features"]) == 2
    assert 0 < found["command"][0]["waiting"] < 1
    # Of 80 GB 72 can be planned with, 0.1 GB of them for weights and what belongs to them.
    assert "| tiny 16x16 | one pass | 62 | 1150 | not measured |" in printed
    assert f"| tiny 16x16 | one pass | {found['speed'][1]['clips/s']:.0f} | " in printed


def test_what_is_kept_is_counted_without_content(tmp_path):
    printed = FreshProcess(KEPT, [], tmp_path, has_package=True).finish()
    plain, bf16, checkpointed, with_content = map(float, printed.split())
    assert plain == with_content
    assert max(bf16, checkpointed) < 0.8 * plain


def test_page_has_the_tables_of_the_script():
    page = (ROOT / "docs" / "many_cards.md").read_text()
    marks = "<!-- made by benchmarks/scaling.py -->", "<!-- end of what it made -->"
    assert all(page.count(mark) == 1 for mark in marks)
    assert "| base 16x16 | one pass, bfloat16 | " in page[page.index(marks[0]) : page.index(marks[1])]
