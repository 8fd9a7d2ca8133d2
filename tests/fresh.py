"""
Code in processes of its own that know nothing of this package, or import it anew.

They are forked from a process that has imported PyTorch and transformers and nothing else, so that each takes a moment
instead of the seconds of these imports.
"""

import contextlib
import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import psutil


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    "torch torch.distributed torch.utils.tensorboard accelerate datasets matplotlib.figure soundfile soxr "
    "transformers.trainer transformers.pipelines transformers.models.auto.modeling_auto".split()
)
COMMAND = "import sys; from ssast_hf.cli import main; sys.exit(main(sys.argv[1:]))"


class FreshProcess:
    """
    Runs `code` with `arguments`.

    Args:
        folder (`Path`): Where to run it, and where code of models is copied to.
        has_package (`bool`): Whether `ssast_hf` can be imported.
        environment: Variables to set before, such as the address of the Hub.
    """

    def __init__(self, code: str, arguments, folder: Path, has_package: bool, **environment):
        folder.mkdir(exist_ok=True)
        self.scratch = Path(tempfile.mkdtemp(prefix="fresh-", dir=folder))
        arguments = (code, list(map(str, arguments)), str(folder), has_package, environment, str(self.scratch))
        self.process = FORKS.Process(target=execute, args=arguments)
        with mock.patch.dict(os.environ, {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}):
            multiprocessing.forkserver.ensure_running()  # with these, if it is the first
        self.process.start()

    def is_running(self) -> bool:
        return self.process.is_alive()

    def kill(self):
        """SIGKILL for it and all that it started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            for each in [own, *own.children(recursive=True)]:
                each.kill()
        self.process.join()

    def finish(self) -> str:
        """What it prints; an AssertionError with its errors if it fails."""
        self.process.join()
        assert self.process.exitcode == 0, self.errors()
        return (self.scratch / "stdout").read_text()

    def errors(self) -> str:
        """What it says besides."""
        return (self.scratch / "stderr").read_text()


def execute(code: str, arguments: list[str], folder: str, has_package: bool, environment: dict, scratch: str):
    """What a fork does."""
    import huggingface_hub.constants
    import huggingface_hub.file_download
    import huggingface_hub.hf_api
    import transformers.dynamic_module_utils
    import transformers.utils.hub

    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(scratch, name), os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ |= environment
    # These read the variables, or each other, when they are imported. The functions in them see what is read anew.
    for module in (huggingface_hub.constants, huggingface_hub.file_download, transformers.utils.hub):
        importlib.reload(module)
    huggingface_hub.hf_api.api.endpoint = huggingface_hub.constants.ENDPOINT  # of `create_repo` and the like
    os.chdir(folder)
    multiprocessing.set_start_method(None, force=True)  # not that of the tests
    # No code of models that were loaded before, and none for those that are loaded later.
    sys.path = [path for path in sys.path if not Path(path, "transformers_modules").is_dir()]
    transformers.dynamic_module_utils.HF_MODULES_CACHE = str(Path(scratch, "modules"))
    if not has_package:
        sys.modules["ssast_hf"] = None
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
