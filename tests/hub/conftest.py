"""What is the same for all that is published here."""

from subprocess import CompletedProcess
from types import SimpleNamespace

import pytest
from fresh import FreshProcess

from ssast_hf.hub import fresh_process


@pytest.fixture(autouse=True)
def forked_verification(tmp_path, monkeypatch):
    """The proof in a fresh process is a fork that has PyTorch already. Published as a person does, it is a new one."""

    def run(command, env, **options):
        _, _, script, *arguments = command
        process = FreshProcess(script, arguments, tmp_path / "elsewhere", has_package=False, **env)
        process.process.join()
        return CompletedProcess(command, process.process.exitcode, "", process.errors())

    monkeypatch.setattr(fresh_process, "subprocess", SimpleNamespace(run=run))
