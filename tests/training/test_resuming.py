"""Which checkpoint a run goes on from: one that is whole, and what it says of what has changed since."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from command import finish, options, run, weights
from safetensors.torch import save_file

from ssast_hf.cli import main


# Where the run of all tests is, once it was made.
MADE: list[Path] = []


@pytest.fixture
def stopped(model_dir, audio_folder, tmp_path, tmp_path_factory):
    """The command line of a run and its folder, with checkpoints after 2 and 4 of 6 steps."""
    if not MADE:
        home = tmp_path_factory.mktemp("made")
        shutil.copytree(model_dir, home / "model")
        shutil.copytree(audio_folder, home / "audio")
        assert main(options(home / "model", home / "audio", home / "out", max_steps=4)) == 0
        (home / "out" / "model.safetensors").unlink()
        MADE.append(home)
    output = tmp_path / "out"
    shutil.copytree(MADE[0] / "out", output)
    return options(MADE[0] / "model", MADE[0] / "audio", output), output


FILES = ["optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "trainer_state.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("has_run_json", [True, False])
def test_checkpoint_that_lacks_a_file_is_refused(name, has_run_json, stopped, capsys):
    command, output = stopped
    (output / "checkpoint-4" / name).unlink()
    if not has_run_json:  # as of versions that wrote none
        (output / "checkpoint-4" / "run.json").unlink()
    capsys.readouterr()
    assert main(command) == 1
    error = capsys.readouterr().err
    assert f"error: {output / 'checkpoint-4'} is not whole: it has no {name}." in error
    assert f"--resume_from_checkpoint {output / 'checkpoint-2'}\n" in error


@pytest.mark.parametrize("damage", ["cut", "foreign"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_checkpoint_is_one_line(name, damage, stopped, capsys):
    command, output = stopped
    path = output / "checkpoint-4" / name
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "foreign":
        path.write_bytes(b"[" * 100_000)
    capsys.readouterr()
    assert main(command) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {path} ")
    assert f"{output / 'checkpoint-2'} is whole" in error
    assert path.parent.exists()


def test_byte_that_pytorch_would_read_as_another_number_is_found(stopped, capsys):
    command, output = stopped
    path = output / "checkpoint-4" / "optimizer.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert main(command) == 1
    assert "checksum" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("optimizer.pt", {"something": torch.ones(2)}),
        ("optimizer.pt", {"state": {}, "param_groups": [{"lr": 1.0}]}),  # after four steps
        ("scheduler.pt", {}),
        ("scheduler.pt", [1]),
        ("scheduler.pt", {"last_epoch": 4, "base_lrs": ["high"]}),
        ("rng_state.pth", {}),
        ("rng_state.pth", {"python": (3, (1,), None), "numpy": None, "cpu": torch.zeros(3)}),
        ("trainer_state.json", {"global_step": 4, "log_history": [{}]}),
        ("trainer_state.json", {"global_step": 4, "log_history": [1]}),
        ("trainer_state.json", {"global_step": 4, "best_metric": "high"}),
        ("run.json", {"recipe": {}, "files": 1, "evaluation_is_due": False}),
        ("run.json", {"recipe": 1, "files": [], "evaluation_is_due": False}),
        ("run.json", []),
    ],
)
def test_file_that_holds_something_else_is_one_line(name, content, stopped, capsys):
    command, output = stopped
    path = output / "checkpoint-4" / name
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        torch.save(content, path)
    assert main(command) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {path} is not ")
    assert f"--resume_from_checkpoint {output / 'checkpoint-2'}" in error


def test_weights_that_are_not_all_there_are_refused(stopped, capsys):
    command, output = stopped
    path = output / "checkpoint-4" / "model.safetensors"
    state = weights(path.parent)
    state.pop("reconstruction_head.dense.bias")
    save_file(state, path, {"format": "pt"})
    assert main(command) == 1
    assert "has not the weights of this model (reconstruction_head.dense.bias" in capsys.readouterr().err


def test_run_goes_on_from_the_checkpoint_that_is_named_as_whole(stopped, model_dir, audio_folder, tmp_path, capsys):
    command, output = stopped
    assert main(options(model_dir, audio_folder, tmp_path / "straight")) == 0
    (output / "checkpoint-4" / "optimizer.pt").unlink()
    whole = ["--resume_from_checkpoint", str(output / "checkpoint-2"), "--save_total_limit", "9"]
    assert main([*command, *whole]) == 0
    assert (output / "broken-checkpoint-4" / "model.safetensors").exists()
    for name, tensor in weights(tmp_path / "straight").items():
        assert torch.equal(tensor, weights(output)[name]), name
    assert main([*command, *whole]) == 1  # now later ones are whole
    assert f"{output / 'checkpoint-6'} is further than {output / 'checkpoint-2'}" in capsys.readouterr().err


def test_nothing_is_whole(stopped, capsys):
    command, output = stopped
    for step in (2, 4):
        (output / f"checkpoint-{step}" / "optimizer.pt").unlink()
    assert main(command) == 1
    assert "no earlier checkpoint that is whole" in capsys.readouterr().err


def test_state_of_every_process_is_needed(model_dir, audio_folder, tmp_path):
    command = options(model_dir, audio_folder, tmp_path / "out", max_steps=2, per_device_train_batch_size=1)
    finish(run(command, tmp_path, processes=2))
    (tmp_path / "out" / "checkpoint-2" / "rng_state_1.pth").unlink()
    processes = run(command, tmp_path, processes=2)
    for process in processes:
        process.process.join()
        assert process.process.exitcode == 1
        assert "is not whole: it has no rng_state_1.pth." in process.errors()


def test_what_has_changed_is_told(stopped, model_dir, audio_folder, capsys):
    command, output = stopped
    capsys.readouterr()
    assert main(command) == 0
    assert "Changed since" not in capsys.readouterr().err
    changes = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "seed": 1,
        "mask_strategy": "random",
    }
    changes |= {"num_masked_patches": 12, "bf16": True, "weight_decay": 0.5, "max_steps": 8}
    assert main(options(model_dir, audio_folder, output, **changes)) == 0
    told = capsys.readouterr().err
    assert f"Changed since {output / 'checkpoint-6'}" in told
    for change in (
        "per_device_train_batch_size 3, now 2",
        "gradient_accumulation_steps 1, now 2",
        "seed 42, now 1",
        "mask_strategy cluster, now random",
        "num_masked_patches 20, now 12",
        "bf16 False, now True",
    ):
        assert change in told
    assert "with its optimizer: weight_decay 5e-07, not 0.5" in told


def test_another_number_of_processes_is_told(stopped, tmp_path):
    command, _ = stopped
    assert "processes 1, now 2" in finish(run(command, tmp_path, processes=2))


def test_checkpoint_of_an_older_version_goes_on(stopped, capsys):
    command, output = stopped
    (output / "checkpoint-4" / "run.json").unlink()
    assert main([*command, "--mask_strategy", "random"]) == 0
    assert "mask_strategy cluster, now random" in capsys.readouterr().err


def test_full_disk_leaves_the_earlier_checkpoints(model_dir, audio_folder, tmp_path):
    code = """
import resource, sys
from ssast_hf.cli import main
first = main([*sys.argv[1:], "--max_steps", "2"])
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # as if the disk were full
print(first, main([*sys.argv[1:], "--max_steps", "6"]))
"""
    output = tmp_path / "out"
    (process,) = run(options(model_dir, audio_folder, output), tmp_path, code=code)
    assert process.finish().splitlines()[-1] == "0 1"
    error = process.errors().splitlines()[-1].rpartition("error: ")[2]
    assert error.startswith(f"{output / '.saving' / 'checkpoint-4'}/")
    assert "could not be written: File too large. No larger file is allowed there" in error
    assert [path.name for path in output.glob("checkpoint-*")] == ["checkpoint-2"]
    assert not (output / ".saving").exists()


def test_state_is_json_that_says_what_shaped_the_run(stopped):
    _, output = stopped
    run_json = json.loads((output / "checkpoint-4" / "run.json").read_text())
    assert run_json["recipe"]["processes"] == 1
    assert run_json["recipe"]["recordings"] == 9
    assert set(FILES) == set(run_json["files"])
