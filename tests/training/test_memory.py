"""What a run says that needs more memory than there is."""

from types import SimpleNamespace

import pytest
import torch
from command import options

from ssast_hf import SSASTConfig
from ssast_hf.cli import main
from ssast_hf.training.arguments import check_bfloat16
from ssast_hf.training.memory import Need, free_memory


def need(batch_size=32, config=None, is_pretraining=True, **changes):
    arguments = dict(per_device_train_batch_size=batch_size, gradient_accumulation_steps=2, bf16=False, fp16=False)
    arguments |= {"gradient_checkpointing": False} | changes
    return Need(SimpleNamespace(**arguments), config or SSASTConfig(), 89_000_000, is_pretraining)


def test_what_fits_makes_the_same_steps():
    text = need().advice(8_000_000_000)
    assert text.startswith("A step of 32 clips takes about 17 GB; 8 GB were free. ")
    assert "With --per_device_train_batch_size 8 --gradient_accumulation_steps 8, which makes the same steps" in text
    assert text.endswith("Less memory, too: --gradient_checkpointing True or --decoder_num_hidden_layers 2.")


def test_largest_batch_that_fits_is_found_and_no_larger_one():
    for free in range(2_000_000_000, 20_000_000_000, 700_000_000):
        advice = need(24).advice(free)
        size = int(advice.split("--per_device_train_batch_size ")[1].split()[0])
        assert size <= 12
        assert need(size).total() <= free
        larger = next(each for each in (2, 3, 4, 6, 8, 12, 24) if each > size)
        assert larger == 24 or need(larger).total() > 0.9 * free


def test_where_no_batch_fits_other_options_are_named():
    text = need(1).advice(1_000_000_000)
    assert "A step of 1 clip takes" in text
    assert "Pass --gradient_checkpointing True and --decoder_num_hidden_layers 2 and --max_length 512, or" in text


def test_fine_tuning_has_no_decoder():
    assert "decoder" not in need(1, is_pretraining=False).advice(1_000_000_000)
    decoding = SSASTConfig(decoder_num_hidden_layers=2)
    assert need(config=decoding, is_pretraining=False).per_clip() == need(is_pretraining=False).per_clip()


def test_what_is_kept_grows_with_what_is_computed():
    plain = need().per_clip()
    assert need(bf16=True).per_clip() < plain
    assert need(gradient_checkpointing=True).per_clip() < plain / 5
    assert need(config=SSASTConfig(decoder_num_hidden_layers=2)).per_clip() < plain / 2
    assert free_memory(torch.device("cpu")) > 0


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
    ids=["device", "processor", "Python"],
)
def test_run_out_of_memory_ends_with_one_line(error, model_dir, audio_folder, tmp_path, monkeypatch, capsys):
    def fail(*arguments, **others):
        raise error

    monkeypatch.setattr("ssast_hf.training.trainer.SSASTTrainer.compute_loss", fail)
    arguments = options(
        model_dir, audio_folder, tmp_path / "out", validation_fraction=0, per_device_train_batch_size=4
    )
    assert main(arguments) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "error: Out of memory. A step of 4 clips takes about 0.0" in line
    assert "--per_device_train_batch_size 2 --gradient_accumulation_steps 2" in line


def test_gpu_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "An Old One")
    for is_supported in (True, False):
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda emulated, result=is_supported: result)
        check_bfloat16(False, use_cpu=False)
        check_bfloat16(True, use_cpu=not is_supported)
    with pytest.raises(ValueError, match=r"--bf16: An Old One has no bfloat16\. Pass --fp16 in its place"):
        check_bfloat16(True, use_cpu=False)


def test_other_errors_keep_their_traceback(model_dir, audio_folder, tmp_path, monkeypatch):
    def fail(*arguments, **others):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("ssast_hf.training.trainer.SSASTTrainer.compute_loss", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        main(options(model_dir, audio_folder, tmp_path / "out", validation_fraction=0))
