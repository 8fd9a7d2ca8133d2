"""What strangers do: load saved folders in a fresh process, with the package as a plugin and without it."""

import json
import zipfile
from pathlib import Path

import pytest
import torch
from fresh import FreshProcess
from safetensors.torch import load_file, save_file

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTForPretraining,
    SSASTForXVector,
    SSASTModel,
)
from ssast_hf.configuration_ssast import AUTO_MAP
from ssast_hf.conversion.original import convert_original_to_hf
from ssast_hf.conversion.stock_ast import convert_hf_to_ast


pytestmark = pytest.mark.compatibility

AUTO_CLASSES = {
    "AutoModel": SSASTModel,
    "AutoModelForPreTraining": SSASTForPretraining,
    "AutoModelForAudioClassification": SSASTForAudioClassification,
}
# Loads a folder, compares every tensor with the file's, saves the outputs for a fixed input, and saves the model
# again.
LOAD = """
import json, sys, numpy as np, torch, transformers
from safetensors.torch import load_file, save_file
folder, auto_class, again, trust = sys.argv[1:]
loaded, info = getattr(transformers, auto_class).from_pretrained(
    folder, trust_remote_code=trust == "True", output_loading_info=True
)
loaded.eval()
stored = load_file(f"{folder}/model.safetensors")
assert stored.keys() == loaded.state_dict().keys()
for name, tensor in loaded.state_dict().items():
    assert torch.equal(tensor, stored[name]), name
assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
features = transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=trust == "True")
audio = np.random.RandomState(0).uniform(-0.5, 0.5, 8000).astype(np.float32)
inputs = features(audio, sampling_rate=16000, return_tensors="pt")
if "PreTraining" in auto_class:
    inputs["generator"] = torch.Generator().manual_seed(0)
with torch.no_grad():
    outputs = loaded(**inputs)
loaded.save_pretrained(again)
features.save_pretrained(again)
save_file({"outputs": outputs[0].reshape(-1).contiguous(), "inputs": inputs["input_values"]}, f"{again}/outputs")
print(type(loaded).__module__)
"""
PLUGIN = "import ssast_hf\n" + LOAD


def perturbed_folder(config, auto_class, path):
    """A saved model in which every tensor differs from its initialisation and from every other."""
    torch.manual_seed(0)
    model = AUTO_CLASSES[auto_class](config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
    model.save_pretrained(path)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64, mean=-5.0).save_pretrained(path)
    return model


@pytest.mark.parametrize("patch_size", [8, [32, 2]])
@pytest.mark.parametrize("auto_class", AUTO_CLASSES)
def test_folder_loads_everywhere_and_survives_saving_again(
    config, tmp_path, run_without_package, auto_class, patch_size
):
    config = SSASTConfig(
        **config.to_dict() | {"patch_size": patch_size, "frequency_stride": None, "time_stride": None}
    )
    perturbed_folder(config, auto_class, tmp_path / "first")
    arguments = (tmp_path / "first", auto_class, tmp_path / "second", False)
    module = FreshProcess(PLUGIN, arguments, tmp_path, has_package=True).finish()
    assert module.strip() == AUTO_CLASSES[auto_class].__module__
    # the second generation was saved by the plugin, the third by the code in the folder
    module = run_without_package(LOAD, tmp_path / "second", auto_class, tmp_path / "third", True)
    assert module.startswith("transformers_modules.")
    run_without_package(LOAD, tmp_path / "third", auto_class, tmp_path / "fourth", True)
    outputs = [load_file(tmp_path / name / "outputs") for name in ("second", "third", "fourth")]
    for name in ("inputs", "outputs"):
        for other in outputs[1:]:
            # Weights are compared exactly, results not quite: sums round by how memory happens to be aligned.
            torch.testing.assert_close(other[name], outputs[0][name], rtol=0, atol=1e-5)
    auto_maps = [json.loads((tmp_path / name / "config.json").read_text())["auto_map"] for name in ("first", "fourth")]
    assert auto_maps[0] == auto_maps[1]
    assert auto_maps[0].keys() == AUTO_MAP.keys()


def test_converted_folder_serves_every_auto_class(original_file, tmp_path, run_without_package):
    convert_original_to_hf(original_file, tmp_path / "ssast")
    code = """
import sys, torch, transformers
folder = sys.argv[1]
encoders = []
names = "AutoModel AutoModelForPreTraining AutoModelForAudioClassification AutoModelForAudioXVector"
for name in f"{names} AutoModelForAudioFrameClassification".split():
    model = getattr(transformers, name).from_pretrained(folder, trust_remote_code=True)
    encoders.append(model.base_model.state_dict())
for name, tensor in encoders[0].items():
    assert all(torch.equal(tensor, other[name]) for other in encoders), name
print(type(transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=True)).__name__)
print(transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True).num_masked_patches)
"""
    assert run_without_package(code, tmp_path / "ssast").split() == ["SSASTFeatureExtractor", "50"]


HEADS = {
    "AutoModelForAudioXVector": SSASTForXVector,
    "AutoModelForCTC": SSASTForCTC,
    "AutoModelForAudioFrameClassification": SSASTForAudioFrameClassification,
}


def test_heads_load_by_the_code_in_their_folders(config, tmp_path, run_without_package):
    fields = {"patch_size": [32, 2], "frequency_stride": None, "time_stride": None, "vocab_size": 5}
    config = SSASTConfig(**config.to_dict() | fields | {"use_weighted_layer_sum": True, "classifier_proj_size": 24})
    inputs = torch.randn(2, 64, 32)
    for auto_class, model_class in HEADS.items():
        model = model_class(config).eval()
        model.save_pretrained(tmp_path / auto_class)
        with torch.no_grad():
            stored = {"inputs": inputs, "logits": model(inputs).logits}
        save_file(stored, tmp_path / f"{auto_class}.safetensors")
    code = """
import sys, torch, transformers
from safetensors.torch import load_file
folder, *names = sys.argv[1:]
for name in names:
    model = getattr(transformers, name).from_pretrained(f"{folder}/{name}", trust_remote_code=True).eval()
    stored = load_file(f"{folder}/{name}.safetensors")
    with torch.no_grad():
        assert (model(stored["inputs"]).logits - stored["logits"]).abs().max() < 1e-5, name
    model.save_pretrained(f"{folder}/again-{name}")
    print(type(model).__module__)
"""
    modules = run_without_package(code, tmp_path, *HEADS).split()
    for module, (auto_class, model_class) in zip(modules, HEADS.items(), strict=True):
        assert module.startswith("transformers_modules.")
        assert module.endswith(".heads_ssast")
        model, again = (model_class.from_pretrained(tmp_path / f"{prefix}{auto_class}") for prefix in ("", "again-"))
        assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_stock_export_runs_in_a_pipeline_without_custom_code(original_file, tmp_path, run_without_package):
    convert_original_to_hf(original_file, tmp_path / "ssast")
    convert_hf_to_ast(tmp_path / "ssast", tmp_path / "ast")
    state = load_file(tmp_path / "ast" / "model.safetensors")
    save_file({name: tensor + 0.01 * torch.randn_like(tensor) for name, tensor in state.items()},
              tmp_path / "ast" / "model.safetensors", metadata={"format": "pt"})  # fmt: skip
    code = """
import sys, torch
from transformers import ASTForAudioClassification, AutoModelForAudioClassification, pipeline
model, info = AutoModelForAudioClassification.from_pretrained(sys.argv[1], output_loading_info=True)
assert type(model) is ASTForAudioClassification
assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
model.save_pretrained(sys.argv[2])
audio = torch.sin(torch.arange(16000) / 10).numpy()
results = pipeline("audio-classification", model=sys.argv[1])({"raw": audio, "sampling_rate": 16000})
print(len(results))
"""
    assert run_without_package(code, tmp_path / "ast", tmp_path / "again").strip() == "2"
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("ast", "again"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_pipeline_with_custom_code(config, tmp_path, run_without_package):
    perturbed_folder(config, "AutoModelForAudioClassification", tmp_path / "ssast")
    code = """
import sys, numpy as np
from transformers import pipeline
classify = pipeline("audio-classification", model=sys.argv[1], trust_remote_code=True)
print(len(classify({"raw": np.ones(16000, dtype=np.float32), "sampling_rate": 16000})))
"""
    assert run_without_package(code, tmp_path / "ssast").strip() == "2"


def test_trainer_reports_the_loss_and_scales_accumulation(model, tmp_path):
    from transformers import Trainer, TrainingArguments

    dataset = [{"input_values": torch.randn(64, 32), "bool_masked_pos": torch.arange(32) < 20} for _ in range(8)]
    norms = []
    for batch_size, accumulation in ((4, 1), (1, 4)):
        arguments = TrainingArguments(
            output_dir=str(tmp_path / f"run{accumulation}"),
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            logging_steps=1,
            report_to=[],
            use_cpu=True,
            data_seed=0,
            seed=0,
        )
        torch.manual_seed(0)
        trainer = Trainer(SSASTForPretraining(model.config), arguments, train_dataset=dataset, eval_dataset=dataset)
        assert trainer.evaluate()["eval_loss"] > 0
        trainer.train()
        norms.append(trainer.state.log_history[-2]["grad_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


@pytest.fixture
def saved_by_0_1_0(tmp_path):
    """Small models with their own code, in fewer files than today, and what they compute."""
    with zipfile.ZipFile(Path(__file__).parent / "references" / "saved-by-0.1.0.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


EARLIER = """
import sys, torch, transformers
from safetensors.torch import load_file
folder, auto_class, output = sys.argv[1:]
stored = load_file(f"{folder}-outputs.safetensors")
model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True).eval()
transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
options = {"bool_masked_pos": (torch.arange(8) % 3 > 0).expand(2, -1)} if output == "reconstruction" else {}
with torch.no_grad():
    difference = (model(stored["input_values"], **options)[output] - stored[output]).abs().max().item()
assert difference < 1e-5, difference
print(type(model).__module__)
"""


@pytest.mark.parametrize(
    ("kind", "auto_class", "output"),
    [
        ("pretraining", "AutoModelForPreTraining", "reconstruction"),
        ("classifier", "AutoModelForAudioClassification", "logits"),
    ],
)
def test_folders_of_an_earlier_release_load_by_their_own_code_and_by_ours(
    saved_by_0_1_0, run_without_package, kind, auto_class, output
):
    folder = saved_by_0_1_0 / kind
    assert "SSASTForAudioClassification" in (folder / "modeling_ssast.py").read_text()
    module = run_without_package(EARLIER, folder, auto_class, output)
    assert module.startswith("transformers_modules.")
    assert ".modeling_ssast" in module  # where the classifier was
    stored = load_file(f"{folder}-outputs.safetensors")
    model = AUTO_CLASSES[auto_class].from_pretrained(folder).eval()
    options = {"bool_masked_pos": (torch.arange(8) % 3 > 0).expand(2, -1)} if kind == "pretraining" else {}
    with torch.no_grad():
        ours = model(stored["input_values"], **options)[output]
    torch.testing.assert_close(ours, stored[output], rtol=0, atol=1e-5)


def test_remotely_loaded_model_is_saved_with_all_code_that_its_configuration_names(
    config, tmp_path, run_without_package
):
    perturbed_folder(config, "AutoModel", tmp_path / "first")
    code = """
import sys
from transformers import AutoModel
AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True).save_pretrained(sys.argv[2])
"""
    run_without_package(code, tmp_path / "first", tmp_path / "second")
    named = {f"{target.split('.')[0]}.py" for target in AUTO_MAP.values()}
    present = {path.name for path in (tmp_path / "second").glob("*.py")}
    assert named <= present
    assert present == {path.name for path in (tmp_path / "first").glob("*.py")}
