"""Promises about the package as a whole."""

import ast
import importlib.metadata
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

import ssast_hf
from ssast_hf import SSASTConfig, modeling_ssast
from ssast_hf.configuration_ssast import AUTO_MAP


PACKAGE = Path(ssast_hf.__file__).parent
ISLAND = sorted(PACKAGE.glob("*_ssast.py"))


@pytest.mark.parametrize("path", ISLAND, ids=lambda path: path.name)
def test_files_that_travel_with_a_model_import_nothing_else_of_the_package(path):
    names = {other.stem for other in ISLAND}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            assert node.module in names
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for module in modules:
                assert module.split(".")[0] in {"numpy", "torch", "transformers"} | sys.stdlib_module_names


def test_auto_map_names_existing_classes():
    for target in AUTO_MAP.values():
        module, name = target.split(".")
        assert f"\nclass {name}(" in (PACKAGE / f"{module}.py").read_text()


def test_all_is_true():
    public = {name for name in vars(ssast_hf) if name.startswith("SSAST")}
    assert set(ssast_hf.__all__) == public | {"Embedder"}
    assert ssast_hf.SSASTForPreTraining is ssast_hf.SSASTForPretraining


def test_old_transformers_is_refused_with_a_clear_message():
    code = "import transformers; transformers.__version__ = '4.56.2'; import ssast_hf"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode != 0
    assert "ImportError: ssast_hf needs transformers >= 4.57, found 4.56.2" in result.stderr


def test_version_is_that_of_the_distribution():
    assert importlib.metadata.version("ssast_hf") == ssast_hf.__version__


def test_module_is_the_command():
    result = subprocess.run([sys.executable, "-m", "ssast_hf", "--version"], capture_output=True, text=True)
    assert result.stdout == f"ssast-hf {ssast_hf.__version__}\n"


@pytest.mark.parametrize(("name", "processes"), [("1_gpu", 1), ("ddp_1x8", 8), ("zero2_1x8", 8), ("fsdp_2x8", 16)])
def test_accelerate_reads_the_examples(name, processes):
    path = PACKAGE.parent / "examples" / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert config.num_processes == processes
    assert config.mixed_precision == "bf16"
    layer = config.fsdp_config.get("fsdp_transformer_layer_cls_to_wrap") if processes == 16 else None
    assert layer is None or hasattr(modeling_ssast, layer)


def calls(path, name: str) -> list[dict]:
    """Keyword arguments of every call of a function or method of that name in a file, as source text."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        for node in found
        if f".{ast.unparse(node.func)}".endswith(f".{name}")
    ]


def test_no_file_is_loaded_by_running_code_in_it():
    loads = [arguments for path in PACKAGE.rglob("*.py") for arguments in calls(path, "torch.load")]
    assert len(loads) >= 2
    assert all(arguments.get("weights_only") == "True" for arguments in loads)


def test_code_of_a_folder_is_run_only_where_it_is_the_packages_own_or_somebody_asked():
    trusting = {
        path.name
        for path in PACKAGE.rglob("*.py")
        if any(arguments.get("trust_remote_code", "False") != "False" for arguments in calls(path, "from_pretrained"))
    }
    # a staged or freshly verified folder; the demonstration's; a page that was started with --trust_remote_code
    assert trusting == {"load_as_stranger.py", "continue_pretraining.py", "foreign.py"}


def test_licence_that_travels_with_models_is_the_projects():
    assert (PACKAGE / "assets" / "LICENSE").read_text() == (PACKAGE.parent / "LICENSE").read_text()


def test_a_model_whose_class_another_library_made_is_saved_with_our_code_alone(model, tmp_path):
    # As FSDP does, which derives a class of its own from the model's.
    model.__class__ = type("FSDPSSASTForPretraining", (type(model),), {"__module__": "json.decoder"})
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.py")) == [path.name for path in ISLAND]
    assert SSASTConfig.from_pretrained(tmp_path).auto_map == AUTO_MAP


@pytest.mark.parametrize("folder", [PACKAGE, Path(__file__).parent], ids=["package", "tests"])
def test_docstrings_are_whole(folder):
    """None is broken in two by a line that was wrapped as if it were a text in code."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                lines = [line.strip() for line in (ast.get_docstring(node) or "").splitlines()]
                broken = [b for a, b in itertools.pairwise(lines) if a.endswith('"') and b.startswith('"')]
                assert not broken, f"{path}: {broken}"
