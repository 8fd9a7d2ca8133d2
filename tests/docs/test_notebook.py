"""The notebooks run from top to bottom, and what is stored in them is fit for others."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest


EXAMPLES = Path(__file__).parent.parent.parent / "examples"
# Each with a picture that it makes.
NOTEBOOKS = {"quickstart.ipynb": "reconstruction.png", "finetune_and_deploy.ipynb": "answers.png"}
every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def texts(notebook) -> list[str]:
    """What each cell with code prints."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(out.text for out in cell.outputs if out.get("name") == "stdout") for cell in cells]


@pytest.mark.slow
@every_notebook
def test_notebook_runs_and_prints_what_is_stored(name, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    stored = texts(nbformat.read(EXAMPLES / name, as_version=4))
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    patience = {"timeout": 600, "startup_timeout": 600, "iopub_timeout": 120}
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}, **patience
    )
    client.execute()
    assert texts(notebook) == stored
    assert (tmp_path / NOTEBOOKS[name]).exists()


@every_notebook
def test_notebook_is_small_and_names_no_machine(name):
    text = (EXAMPLES / name).read_text()
    assert len(text) < 150_000
    assert not [place for place in ("/tmp/", "/home/", "/root/", os.sep + "work" + os.sep) if place in text]
    for cell in nbformat.reads(text, as_version=4).cells:
        assert not any(output.output_type == "error" for output in cell.get("outputs", ()))
