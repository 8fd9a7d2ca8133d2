"""The rooms of the package: what lies in the root, which way imports point, and that a wheel holds all of it."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import import_module
from pathlib import Path

import pytest

import ssast_hf
from ssast_hf.cli import COMMANDS, EXTRAS, is_running


PACKAGE = Path(ssast_hf.__file__).parent
# Which rooms each one imports from. The island is what travels with a model.
ALLOWED = {
    "cli": "",
    "demo": "hub training inference audio conversion storage assets island",
    "hub": "app conversion checkpoints storage assets island",
    "app": "training inference audio storage assets island",
    "training": "audio checkpoints storage assets island",
    "inference": "audio storage assets island",
    "audio": "storage assets island",
    "conversion": "storage assets island",
    "checkpoints": "storage island",
    "storage": "island",
    "assets": "",
    "island": "",
}
# What opens connections.
NETWORK = "aiohttp datasets fsspec http httpx huggingface_hub requests socket urllib.error urllib.request".split()


def modules() -> dict[tuple[str, ...], Path]:
    """
    Names below the package -> file; links are of the bundled model, to files that are here already, and what exports
    get a copy of is no module.
    """
    copied = PACKAGE / "assets" / "onnx"
    paths = (path for path in PACKAGE.rglob("*.py") if not path.is_symlink() and path.parent != copied)
    return {path.relative_to(PACKAGE).with_suffix("").parts: path for path in paths}


def room_of(module: tuple[str, ...]) -> str:
    return "island" if module[0].endswith("_ssast") else module[0]


def imports(module: tuple[str, ...]) -> tuple[set[tuple[str, ...]], set[str]]:
    """Modules of the package that a module imports anywhere in it, and dotted names from other packages."""
    known, own, others = modules(), set(), set()
    for node in ast.walk(ast.parse(known[module].read_text())):
        if isinstance(node, ast.Import):
            others |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            others |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level] + tuple((node.module or "").split(".") if node.module else ())
            for alias in node.names:
                candidates = [(*base, alias.name), base, (*base, "__init__")]
                own.add(next(candidate for candidate in candidates if candidate in known))
    return own, others


def test_the_root_holds_the_door_and_what_travels_with_a_model():
    names = {path.name for path in PACKAGE.glob("*.py") if not path.name.endswith("_ssast.py")}
    assert names == {"__init__.py", "__main__.py", "cli.py"}
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == ALLOWED.keys() - {"cli", "island"}


@pytest.mark.parametrize("module", modules(), ids="/".join)
def test_imports_point_down(module):
    if module in (("__init__",), ("__main__",)):
        return  # the door opens everything
    for target in imports(module)[0]:
        room = room_of(target)
        if target == ("__init__",):
            assert module in (
                ("cli",),
                ("training", "facts"),
                ("training", "report"),
                ("training", "finetuning", "report"),
            )  # for the version
        else:
            assert room == room_of(module) or room in ALLOWED[room_of(module)].split(), target


def test_no_module_imports_itself_over_others():
    graph = {module: imports(module)[0] - {("__init__",)} for module in modules()}
    # It names the island's files where it copies them, inside a function.
    graph[("configuration_ssast",)] = set()
    finished = set()

    def visit(module, trail):
        assert module not in trail, " -> ".join("/".join(names) for names in (*trail, module))
        if module not in finished:
            for other in graph[module]:
                visit(other, (*trail, module))
            finished.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize(
    "module", [m for m in modules() if room_of(m) in ("conversion", "storage", "assets", "island")]
)
def test_conversion_and_what_is_below_it_know_no_network(module):
    for name in imports(module)[1]:
        assert not any(name == other or name.startswith(f"{other}.") for other in NETWORK), name


def test_every_command_has_a_module_that_owns_it():
    for command, name in COMMANDS.items():
        module = import_module(f"ssast_hf.{name}")
        assert callable(module.add_arguments), command
        assert callable(module.run), command
    assert EXTRAS.keys() <= COMMANDS.keys()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["convert", "--help"], ["publish"], ["nonsense"]])
def test_help_and_errors_of_the_command_line_do_not_wait_for_pytorch(arguments, tmp_path):
    for name in ("torch", "transformers"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('imported before the arguments were read')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    status = 2 if arguments in (["publish"], ["nonsense"]) else 0
    for command in ([Path(sysconfig.get_path("scripts"), "ssast-hf")], [sys.executable, "-m", "ssast_hf"]):
        result = subprocess.run(
            [*map(str, command), *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert result.returncode == status, result.stderr
        assert "ssast-hf" in (result.stderr if status else result.stdout)


@pytest.mark.slow
def test_wheel_holds_every_module_and_file_and_runs(tmp_path):
    """And no module opens a connection when it is imported."""
    project = tmp_path / "project"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        project.mkdir(exist_ok=True)
        shutil.copy(PACKAGE.parent / name, project)
    shutil.copytree(PACKAGE, project / "ssast_hf", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", tmp_path, project], check=True)
    venv.create(tmp_path / "environment", with_pip=False, symlinks=True)
    python = tmp_path / "environment" / "bin" / "python"
    (wheel,) = tmp_path.glob("ssast_hf-*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel], check=True)
    # What it depends on, from the environment of the tests, but not the package that is installed there.
    site = next((tmp_path / "environment").glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    code = f"""
import importlib, pkgutil, socket
def refuse(*arguments, **options):
    raise AssertionError(f"connection to {{arguments}}")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import ssast_hf
from ssast_hf.assets import bundled_clips, nano_model
names = [module.name for module in pkgutil.walk_packages(ssast_hf.__path__, "ssast_hf.")]
for name in names:
    try:
        assert importlib.import_module(name).__file__.startswith({str(site)!r}), name
    except ModuleNotFoundError as error:  # the page's, in an extra that need not be there
        assert (error.name, name.split(".")[1]) == ("gradio", "app"), name
assert len(bundled_clips()) == 8
ssast_hf.SSASTModel.from_pretrained(nano_model())
print(*sorted(names))
"""
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    expected = {".".join(("ssast_hf", *module)).removesuffix(".__init__") for module in modules()} - {"ssast_hf"}
    assert set(result.stdout.split()) == expected
    installed = {path.relative_to(site).as_posix() for path in (site / "ssast_hf").rglob("*") if path.is_file()}
    here = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    missing = {name for name in here - installed if "__pycache__" not in name}
    assert missing == {"ssast_hf/assets/nano/training_data.csv"}  # for readers of the repository
    command = [tmp_path / "environment" / "bin" / "ssast-hf", "demo", "--steps", "1"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert (tmp_path / "demo" / "index.html").exists()


@pytest.mark.parametrize(
    ("argv", "orig_argv", "is_command"),
    [
        (["/bin/ssast-hf", "demo"], [], True),
        (["C:/Scripts/ssast-hf.exe"], [], True),
        (["-m", "demo"], ["python", "-W", "ignore", "-m", "ssast_hf", "demo"], True),
        (["-m", "demo"], ["python", "-mssast_hf", "demo"], True),
        (["-m", "ssast_hf"], ["python", "-m", "other", "ssast_hf"], False),
        (["/home/me/ssast-hf.py"], [], False),
        (["-c", "ssast-hf"], [], False),
        (["train.py", "demo"], [], False),
        ([], [], False),
    ],
)
def test_programs_that_import_the_package_are_not_taken_for_the_command(argv, orig_argv, is_command, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    assert is_running() == is_command


@pytest.mark.parametrize("path", sorted((PACKAGE / "assets" / "nano").glob("*_ssast.py")), ids=lambda path: path.name)
def test_bundled_model_carries_the_code_of_the_package(path):
    assert path.read_bytes() == (PACKAGE / path.name).read_bytes()
