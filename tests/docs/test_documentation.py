"""What the documentation says holds: its blocks run as they stand there, and what it names exists."""

import importlib
import re
import shlex
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
import torch
from fresh import COMMAND, FreshProcess
from hub_server import Repository
from original import original_checkpoint

import ssast_hf
from ssast_hf import cli
from ssast_hf.assets import nano_model
from ssast_hf.checkpoints.download import cache_path
from ssast_hf.checkpoints.records import released_checkpoints
from ssast_hf.conversion.exporting.writing import OLDEST_TORCH
from ssast_hf.inference.embedding.parts import MODEL, SETTINGS, SHA256


PACKAGE = Path(ssast_hf.__file__).parent
ROOT = PACKAGE.parent
README = (ROOT / "README.md").read_text()
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
# What commands write, or what belongs to others.
MADE = {
    "config.json",
    "preprocessor_config.json",
    "modules.json",
    "vocab.json",
    "sentence_bert_config.json",
    "trainer_state.json",
    "training.json",
    "metrics.json",
    "preprocessor.json",
    "labels.json",
    "infer.py",
    "ort/",
    "embeddings/",
    "figures/",
    "adapter/",
    "fold-1/",
    "demo/",
    "page/",
    "app.py",
    "examples/",
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
# Page -> what its blocks print, in this order, and what they leave behind.
PRINTED = {
    "README.md": [
        "float32 (8, 160)\n",
        "tensors of the checkpoint accounted for",
        "Written: ssast-tiny\n",
        "discriminative_loss",
        "Loaded in a fresh process by its own code",
        "Published: http://127.0.0.1",
        "SSASTModel 192\n",
    ],
    "docs/app.md": [" patches were hidden (", "(38,)\n"],
    "docs/conversion.md": [
        "tensors written to nano.pth",
        "10 split into query, key and value",
        "Written: ssast-nano\n",
        "tensors of the checkpoint accounted for",
        "hidden states agree with stock AST",
        "fresh    discrimination_head.dense.weight",
        "hidden states agree with stock AST",
        "tensors of the checkpoint accounted for",
    ],
    "docs/deploying.md": [
        "checked  filter banks within",
        "(3, 2)\n",
    ],
    "docs/embedding.md": [
        "(8, 160) float32\n",
        "(12, 160) [0.0875 0.2475]",
        "num_rows: 8",
        "8 recordings, ",
        "8 ['path', 'start', 'end', 'embedding']\n",
    ],
    "docs/evaluating_elsewhere.md": [
        "torch.Size([2, 18, 160]) torch.Size([2, 18])\n",
        "torch.Size([2, 19, 160])\n",
    ],
    "docs/evaluating.md": ["8 ['animal', 'other'] [1, 1, 0, 1, 0, 1, 1, 1]\n", "nano, random weights: "],
    "docs/finetuning.md": [
        "torch.Size([8, 160])\ntorch.Size([8, 32, 160])\ntorch.Size([8, 258, 160])\nfloat32\n",
        "(12, 12)\n",
        "torch.Size([8, 8])\ntorch.Size([8, 512])\n",
        "True\n<class 'str'>\n",
        "torch.Size([1, 32, 2])\n",
        "hidden states agree with stock AST",
        "animal",
    ],
    "docs/predicting.md": ["0.0 to ", " s: ", "8 recordings, ", "rows: animals.csv\n"],
    "docs/pretraining.md": [" + 10 * "],
    "docs/publishing.md": ["torch.Size([1, 160])\n"],
}
FILES = {
    "README.md": ["ssast-tiny", "ssast-continued"],
    "docs/conversion.md": ["ssast-nano", "ssast-from-python", "ast-nano", "ssast-again", "ssast-tiny"],
    "docs/finetuning.md": ["ssast-finetuned", "trained", "ssast-text", "ast-finetuned"],
    "docs/pretraining.md": ["reconstruction.png"],
}


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Language and content of what is to be executed."""
    return [(language, block) for language, block in FENCE.findall(text) if language in ("bash", "python")]


def commands_of(block: str) -> list[list[str]]:
    """The words of each command of a shell block."""
    return [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]


def publish_nano(hub, repo_id: str):
    """As if the bundled model had been published."""
    hub.repositories[repo_id] = repository = Repository(private=False)
    files = {path.name: (path.read_bytes(), None) for path in nano_model().iterdir() if path.is_file()}
    repository.commit("main", files, "nano")


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if blocks_of(text)])
def test_every_block_runs(page, tmp_path, hub):
    if page == "docs/deploying.md" and torch.__version__ < OLDEST_TORCH:
        pytest.skip(f"PyTorch {torch.__version__} cannot export, and says so")
    hub.tokens["hf_reader"] = {"your-name"}
    if page == "docs/publishing.md":
        publish_nano(hub, "your-name/ssast-nano")
    environment = {
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "hf_reader",
    }
    # As in the root of the clone.
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "ssast_hf").symlink_to(PACKAGE)
    # As if the checkpoint had been downloaded: of the released size and layout, with random weights.
    record = released_checkpoints()["SSAST-Tiny-Patch-400"]
    cached = tmp_path / "hf_home" / "ssast_hf" / cache_path(record["name"], record["url"]).name
    cached.parent.mkdir(parents=True)
    torch.save(original_checkpoint(hidden_size=192, num_layers=12, max_length=1024), cached)

    printed = ""
    for language, block in blocks_of(PAGES[page]):
        if language == "python":
            # Those who have not installed the package trust the code of a model.
            has_package = "trust_remote_code" not in block
            printed += FreshProcess(block, [], folder, has_package, **environment).finish()
            continue
        for program, *arguments in commands_of(block):
            assert program == "ssast-hf"
            printed += FreshProcess(COMMAND, arguments, folder, has_package=True, **environment).finish()
    position = 0
    for expected in PRINTED[page]:
        position = printed.find(expected, position) + len(expected)
        assert position >= len(expected), f"{expected!r} is missing, or not in its place:\n{printed}"
    for name in FILES.get(page, []):
        made = folder / name
        assert made.is_file() or (made / "model.safetensors").exists(), name


def test_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 8000


def test_table_lists_every_released_checkpoint():
    rows = {row.split("|")[1].strip(): row for row in README.splitlines() if row.startswith("| SSAST-")}
    records = released_checkpoints()
    assert rows.keys() == records.keys()
    shortened = {"AudioSet": "AS", "AudioSet-2M": "AS", "AudioSet-20K": "AS, 20K clips", "Librispeech": "LS"}
    for name, record in records.items():
        cells = [cell.strip() for cell in rows[name].strip("|").split("|")]
        height, width = record["patch_size"]
        assert cells[1:4] == [f"{height} x {width}", str(record["num_masked_patches"]), record["parameters"]]
        data = " + ".join(shortened[source] for source in record["pretraining_data"])
        assert cells[4] == data + (", one loss" if record["objective"] != "joint" else "")
        published = record["published"]
        assert cells[5:] == [str(published.get(f"average_{kind}", "")) for kind in ("audio", "speech")]


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", PAGES[page])):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text()), target


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    """Files and folders in backticks are there, in the root of the clone or in the package."""
    for name in re.findall(r"`([\w./*-]+)`", FENCE.sub("", PAGES[page])):
        is_file = re.search(r"\.(py|json|yaml|toml|cff)$", name) or name.endswith("/")
        if not is_file or name in MADE:
            continue
        places = [*ROOT.glob(name.rstrip("/")), *PACKAGE.glob(name.rstrip("/"))]
        assert places, name


def test_named_functions_are_where_the_design_says():
    for row in PAGES["docs/design.md"].splitlines():
        for file, names in re.findall(r"`([\w/]+\.py)`: ([^;|]*)", row):
            text = (PACKAGE / file).read_text()
            for name in re.findall(r"`([\w.]+)`", names):
                assert re.search(rf"^\s*(def |class |){name.split('.')[-1]}\b", text, flags=re.MULTILINE), (file, name)


@pytest.mark.parametrize("page", PAGES)
def test_named_modules_exist(page):
    for name in set(re.findall(r"\bssast_hf(?:\.\w+)+", PAGES[page])):
        if page == "CHANGELOG.md" and name.startswith("ssast_hf.data"):
            continue  # what there was
        if name.encode() in (MODEL, SHA256, SETTINGS):
            continue  # keys of metadata
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


@cache
def training_options() -> set[str]:
    from ssast_hf.training.data_sets import DataArguments
    from ssast_hf.training.finetuning.options import FinetuningArguments, LabelledArguments, TaskArguments
    from ssast_hf.training.models import ModelArguments
    from ssast_hf.training.run_pretraining import PretrainingArguments

    pretraining = (ModelArguments, DataArguments, PretrainingArguments)
    finetuning = (TaskArguments, LabelledArguments, FinetuningArguments)
    return {f"--{field.name}" for each in (*pretraining, *finetuning) for field in fields(each)}


@pytest.mark.parametrize("page", PAGES)
def test_named_commands_and_options_exist(page):
    """Also those that are too long to run: they are understood."""
    parsers = cli.build_parser()._subparsers._group_actions[0].choices
    options = {name for parser in parsers.values() for name in parser._option_string_actions} | training_options()
    others = {
        "--config_file",
        "--nproc_per_node",
        "--max_bad_fraction",
        "--only",
    }  # of accelerate, torchrun, benchmarks
    for name in re.findall(r"`(--\w+)", FENCE.sub("", PAGES[page])):
        assert name in options | others, name
    for _, block in FENCE.findall(PAGES[page]):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("ssast-hf ") and "..." not in line:
                command, arguments = cli.parse(shlex.split(line, comments=True)[1:])
                passed_on = [word for word in arguments.get("options", []) if word.startswith("--")]
                assert set(passed_on) <= training_options(), line
                assert command in parsers
