"""Several processes: started as documented they train one model, and a lost one is named."""

import errno
import os
import signal

import pytest
from command import ACCELERATE, TORCHRUN, finish, launch, options, run, wait_until
from fresh import FreshProcess

from ssast_hf.cli import main
from ssast_hf.storage import locks
from ssast_hf.training.processes import check_launcher


@pytest.fixture
def documented(model_dir, audio_folder, tmp_path):
    """Options without one that says that there is no GPU."""
    command = options(model_dir, audio_folder, tmp_path / "out", max_steps=2, per_device_train_batch_size=1)
    at = command.index("--use_cpu")
    return command[:at] + command[at + 2 :]


@pytest.mark.slow
def test_torchrun_trains_one_model(documented, tmp_path):
    launch(TORCHRUN, documented)
    assert "1 clips x 1 accumulated x 2 processes" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "checkpoint-2" / "rng_state_1.pth").exists()


@pytest.mark.slow
def test_accelerate_without_a_gpu_says_that_it_starts_one_process(documented, tmp_path):
    said = launch(ACCELERATE, documented)
    assert "torchrun --nproc_per_node" in said
    assert "1 clips x 1 accumulated x 1 processes" in (tmp_path / "out" / "report.md").read_text()


def test_processes_that_do_not_work_together_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_launcher(2)
    with pytest.raises(ValueError, match="started 2 processes, but this one is in a group of 1"):
        check_launcher(1)


@pytest.mark.parametrize("lost", [0, 1])
def test_lost_process_is_named(lost, model_dir, audio_folder, tmp_path):
    output = tmp_path / "out"
    changes = {"max_steps": 500, "per_device_train_batch_size": 1, "disable_tqdm": True}
    both = run(options(model_dir, audio_folder, output, **changes), tmp_path, processes=2)
    wait_until(both, output / "checkpoint-4")
    os.kill(both[lost].process.pid, signal.SIGKILL)
    other = both[1 - lost]
    other.process.join(60)
    assert other.process.exitcode == 1
    error = [line for line in other.errors().splitlines() if line.startswith("error: ")]
    assert error[0].startswith(f"error: Process {lost} of 2 (counted from 0) has ended, so process {1 - lost} ends")
    assert "Traceback" not in other.errors()
    both[lost].kill()


@pytest.mark.slow
def test_silent_process_is_waited_for_no_longer_than_the_timeout(model_dir, audio_folder, tmp_path):
    output = tmp_path / "out"
    changes = {"max_steps": 500, "per_device_train_batch_size": 1, "ddp_timeout": 15}
    both = run(options(model_dir, audio_folder, output, **changes), tmp_path, processes=2)
    wait_until(both, output / "checkpoint-4")
    os.kill(both[1].process.pid, signal.SIGSTOP)
    both[0].process.join(180)
    assert both[0].process.exitcode == 1
    assert "took longer than --ddp_timeout" in both[0].errors()
    both[1].kill()


def test_processes_share_a_stream(model_dir, audio_folder, tmp_path):
    code = """
import os, sys, torch
from ssast_hf.audio.audio_datasets import AudioStream
from ssast_hf.cli import main
find = AudioStream.find
def watched(self, epoch, worker):
    for found in find(self, epoch, worker):
        with open("read-" + os.environ["RANK"], "a") as file:
            print(found[0]["path"], file=file)
        yield found
AudioStream.find = watched
main(sys.argv[1:])
assert not torch.distributed.is_initialized()  # whose threads, if they outlive Python, abort
"""
    changes = {"streaming": True, "max_steps": 4, "per_device_train_batch_size": 1, "shuffle_buffer": 1}
    finish(run(options(model_dir, audio_folder, tmp_path / "out", **changes), tmp_path, 2, code))
    read = [set((tmp_path / f"read-{rank}").read_text().splitlines()) for rank in range(2)]
    assert len(read[0]) >= 4 <= len(read[1])
    assert not read[0] & read[1]


@pytest.mark.slow
@pytest.mark.parametrize("length", [{}, {"max_steps": -1, "max_minutes": 9}], ids=["steps", "minutes"])
def test_process_without_a_recording_of_a_stream_is_named(model_dir, audio_folder, tmp_path, length):
    for path in sorted(audio_folder.iterdir())[1:]:
        path.unlink()
    changes = {"streaming": True, "per_device_train_batch_size": 1} | length
    command = options(model_dir, audio_folder, tmp_path / "out", **changes)
    both = run(command, tmp_path, processes=2)
    for process in both:
        process.process.join(300)
    assert [process.process.exitcode for process in both] == [1, 1]
    assert "error: Process 1 of 2 (counted from 0) has nothing to read: have at least as many" in both[1].errors()


def test_folder_of_another_run_is_refused_until_it_ends(model_dir, audio_folder, tmp_path, capsys):
    code = """
import sys, time
from ssast_hf.training.processes import FolderLock
with FolderLock(sys.argv[1], 0, 1):
    open(sys.argv[2], "w").close()
    time.sleep(60)
"""
    output = tmp_path / "out"
    holder = FreshProcess(code, [output, tmp_path / "held"], tmp_path, has_package=True)
    wait_until([holder], tmp_path / "held")
    command = options(model_dir, audio_folder, output, max_steps=1)
    assert main(command) == 1
    assert f"{output} is in use by another run (process {holder.process.pid} on " in capsys.readouterr().err
    holder.kill()
    assert main(command) == 0
    assert not (output / "_lock").exists()


def test_file_system_without_locks_is_told_once(model_dir, audio_folder, tmp_path, monkeypatch, capsys):
    def lockf(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "lockf", lockf)
    assert main(options(model_dir, audio_folder, tmp_path / "out", max_steps=1)) == 0
    assert capsys.readouterr().err.count("cannot be locked (No locks available)") == 1


def test_refused_command_leaves_no_folder(model_dir, tmp_path):
    assert main(options(model_dir, tmp_path / "nowhere", tmp_path / "deep" / "out")) == 1
    assert not (tmp_path / "deep" / "out").exists()


def test_all_processes_are_told_of_a_folder_in_use(model_dir, audio_folder, tmp_path):
    output = tmp_path / "out"
    command = options(model_dir, audio_folder, output, max_steps=50_000, per_device_train_batch_size=1)
    first = run(command, tmp_path)
    wait_until(first, output / "checkpoint-2")
    second = run(command, tmp_path, processes=2)
    for process in second:
        process.process.join(300)
        assert process.process.exitcode == 1
        assert "is in use by another run" in process.errors()
    first[0].kill()
    finish(run([*command, "--max_steps", "6"], tmp_path))
