"""What the commands make of folders, disks and downloads that somebody damaged, or made to do harm."""

import json
import os

import pytest
import torch
from fresh import FreshProcess
from safetensors.torch import load_file, save_file
from transformers import ASTConfig, ASTModel

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.cli import main
from ssast_hf.hub.staging import stage_repository


# Runs each command, a list of arguments, within a limit on memory above what is taken, or on the size of files.
LIMITED = """
import json, resource, sys
from ssast_hf.cli import main
import ssast_hf.conversion.stock_ast, ssast_hf.hub.upload
kind, limit = getattr(resource, sys.argv[1]), int(sys.argv[2])
if kind == resource.RLIMIT_AS:
    with open("/proc/self/statm") as file:
        limit += int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
for line in sys.argv[3:]:
    print(main(json.loads(line)))
"""


@pytest.fixture
def folder(model, tmp_path):
    path = tmp_path / "ssast"
    model.save_pretrained(path)
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(path)
    return path


@pytest.fixture
def stock(tmp_path):
    path = tmp_path / "ast"
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = ASTConfig(patch_size=8, frequency_stride=8, time_stride=8, max_length=64, num_mel_bins=32, **sizes)
    ASTModel(config).save_pretrained(path)
    return path


def commands(folder, stock, output) -> list[list[str]]:
    """Everything that reads a model's folder."""
    return [
        ["export-ast", str(folder), str(output)],
        ["export-original", str(folder), str(output)],
        ["import-ast", str(stock), str(output)],
        ["publish", str(folder), "--repo_id", "org/ssast", "--license", "mit", "--dry_run"],
    ]


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_configuration_may_ask_for_tuples(folder, stock, tmp_path):
    for path in (folder, stock):
        change(path / "config.json", return_dict=False, output_hidden_states=[None])
    for number, command in enumerate(commands(folder, stock, None)):
        output = str(tmp_path / f"out{number}")
        assert main([output if each == "None" else each for each in command]) == 0


def run_limited(tmp_path, kind: str, limit: int, lines) -> tuple[list[str], list[str]]:
    """What the commands return, and their errors."""
    arguments = [kind, limit, *map(json.dumps, lines)]
    process = FreshProcess(LIMITED, arguments, tmp_path, has_package=True)
    return process.finish().split(), [line for line in process.errors().splitlines() if line.startswith("error:")]


def test_sizes_that_a_folder_does_not_have_are_refused_in_little_memory(folder, stock, tmp_path):
    wanted = {
        "num_hidden_layers": 1_000_000,
        "decoder_num_hidden_layers": 1_000_000,
        "num_labels": 10**9,
        "hidden_size": 1 << 16,
    }
    lines, names = [], []
    for number, (name, value) in enumerate(wanted.items()):
        copies = []
        for source in (folder, stock):
            copies.append(tmp_path / f"{source.name}{number}")
            copies[-1].mkdir()
            for path in source.iterdir():
                (copies[-1] / path.name).write_bytes(path.read_bytes())
            change(copies[-1] / "config.json", **{name: value})
        lines += commands(*copies, tmp_path / "out")
        names += [name] * 4
    results, errors = run_limited(tmp_path, "RLIMIT_AS", 1 << 30, lines)
    assert results == ["1"] * len(lines)
    for name, error in zip(names, errors, strict=True):
        assert name in error or name == "hidden_size"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("config.json", {"id2label": ["dog"]}),
        ("config.json", {"layer_norm_eps": "small"}),
        ("config.json", {"hidden_act": ["gelu"]}),
        ("config.json", {"base_model_tp_plan": 5}),
        ("config.json", {"sub_configs": {"x": "y"}}),
        ("preprocessor_config.json", {"sampling_rate": "fast"}),
        ("preprocessor_config.json", {"feature_size": [], "mean": {}}),
        ("preprocessor_config.json", {"std": 0}),
        ("config.json", None),
        ("preprocessor_config.json", None),
        ("model.safetensors", None),
    ],
    ids=str,
)
def test_every_command_says_in_one_line_what_is_wrong(folder, stock, tmp_path, capsys, file, fields):
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(stock)
    for path in (folder / file, stock / file):
        path.write_text("[" * 100_000) if fields is None else change(path, **fields)
    for command in commands(folder, stock, tmp_path / "out"):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert file in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nothing_asks_to_run_foreign_code_or_runs_it(folder, stock, tmp_path, monkeypatch, capsys):
    def answer(question=""):
        (tmp_path / "asked").write_text(question)
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    code = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    names = ("AutoConfig", "AutoFeatureExtractor", "AutoModel", "AutoModelForPreTraining")
    for path in (folder, stock):
        (path / "foreign.py").write_text(code)
        for file in ("config.json", "preprocessor_config.json"):
            if (path / file).exists():
                change(path / file, auto_map=dict.fromkeys(names, "foreign.Foreign"))
    for own in (folder / name for name in os.listdir(folder) if name.endswith("_ssast.py")):
        own.write_text(code)
    assert main(["publish", str(folder), "--repo_id", "org/ssast", "--license", "mit", "--dry_run"]) == 0
    for command in commands(folder, stock, tmp_path / "out")[:3]:
        assert main([*command[:2], str(tmp_path / command[0])]) == 0
    for path in (folder, stock):
        change(path / "config.json", model_type="foreign")
    for command in commands(folder, stock, tmp_path / "out"):
        assert main(command) == 1
        assert "has model_type 'foreign'" in capsys.readouterr().err
    assert not (tmp_path / "asked").exists()
    assert not (tmp_path / "ran").exists()


def test_links_out_of_a_folder_are_not_published(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("---\nlicense: mit\n---\nnobody's business\n")
    (folder / "figures").mkdir()
    names = ("figures/step-1-clip-0.png", "curves.png", "README.md", "original_extras.safetensors")
    for name in (*names, "original_checkpoint.json", "preprocessor_config.json", "config.json", "model.safetensors"):
        path = folder / name
        kept = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        path.symlink_to(secret)
        with pytest.raises(ValueError, match=rf"{name} is a link to {secret}, out of the folder"):
            stage_repository(folder, tmp_path / "staged", "org/ssast", license="mit")
        assert not (tmp_path / "staged").exists()
        path.unlink()
        if kept is not None:
            path.write_bytes(kept)
    stage_repository(folder, tmp_path / "staged", "org/ssast", license="mit")


@pytest.mark.parametrize("below", ["", "encoder"])
def test_folder_in_the_cache_of_the_hub_is_read_and_published(folder, stock, tmp_path, below):
    """There, a model's files are links to where they lie by their checksums. `blobs` may be a link, too."""
    copies = []
    for source in (folder, stock):
        repository = tmp_path / f"models--org--{source.name}"
        copies.append(repository / "snapshots" / "0123abcd" / below)
        copies[-1].mkdir(parents=True)
        (tmp_path / f"blobs of {source.name}").mkdir()
        (repository / "blobs").symlink_to(tmp_path / f"blobs of {source.name}")
        for path in source.iterdir():
            (repository / "blobs" / f"sum-of-{path.name}").write_bytes(path.read_bytes())
            (copies[-1] / path.name).symlink_to(repository / "blobs" / f"sum-of-{path.name}")
    for command in commands(*copies, tmp_path / "out")[:3]:
        assert main([*command[:2], str(tmp_path / command[0])]) == 0
    stage_repository(copies[0], tmp_path / "staged", "org/ssast", license="mit")
    assert not any(path.is_symlink() for path in (tmp_path / "staged").iterdir())


def test_shards_are_read_and_published(folder, tmp_path):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shard, index_name = "model-00001-of-00001.safetensors", "model.safetensors.index.json"
    save_file(state, folder / shard, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(state, shard)}
    (folder / index_name).write_text(json.dumps(index))
    assert main(["export-ast", str(folder), str(tmp_path / "ast")]) == 0
    stage_repository(folder, tmp_path / "staged", "org/ssast", license="mit")
    assert {path.name for path in (tmp_path / "staged").glob("*safetensors*")} == {index_name, shard}


def test_full_disk_is_told_in_one_line_and_nothing_is_left(folder, stock, original_file, tmp_path):
    """As far as a limit on the size of files is like a full disk."""
    (tmp_path / "place").mkdir()
    lines = commands(folder, stock, tmp_path / "place" / "out")
    lines.append(["convert", str(original_file), str(tmp_path / "place" / "out")])
    assert all(path.stat().st_size > 50_000 for path in (folder / "model.safetensors", original_file))
    results, errors = run_limited(tmp_path, "RLIMIT_FSIZE", 50_000, lines)
    assert results == ["1"] * len(lines)
    assert len(errors) == len(lines)
    for error in errors:
        assert "could not be written: " in error
        assert "No larger file is allowed there" in error or "MB are free there" in error
    assert list((tmp_path / "place").iterdir()) == []


def test_complex_numbers_and_other_kinds_of_tensors_are_named(original_file, tmp_path, capsys):
    checkpoint = torch.load(original_file)
    scalar = checkpoint["module.p_input_tdim"]
    values = {"module.p_input_tdim": [scalar + 0j, scalar.bool(), scalar.float()]}
    values["module.v.norm.bias"] = [torch.zeros(64, dtype=torch.complex64), torch.zeros(64).to_sparse()]
    for key, others in values.items():
        for other in others:
            torch.save(checkpoint | {key: other}, tmp_path / "x.pth")
            assert main(["convert", str(tmp_path / "x.pth"), str(tmp_path / "out")]) == 1
            assert key.removeprefix("module.") in capsys.readouterr().err
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    torch.save(checkpoint | {"module.v.norm.bias": nested}, tmp_path / "x.pth")
    assert main(["convert", str(tmp_path / "x.pth"), str(tmp_path / "out")]) == 1
    assert "x.pth is damaged, or holds more than plain tensors" in capsys.readouterr().err
