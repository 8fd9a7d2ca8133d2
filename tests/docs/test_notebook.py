"""The notebook runs from top to bottom, and what is stored in it is fit for others."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest


NOTEBOOK = Path(__file__).parent.parent.parent / "examples" / "quickstart.ipynb"


def texts(notebook) -> list[str]:
    """What each cell with code prints."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(out.text for out in cell.outputs if out.get("name") == "stdout") for cell in cells]


@pytest.mark.slow
def test_notebook_runs_and_prints_what_is_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    stored = texts(nbformat.read(NOTEBOOK, as_version=4))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert texts(notebook) == stored
    assert (tmp_path / "reconstruction.png").exists()


def test_notebook_is_small_and_names_no_machine():
    text = NOTEBOOK.read_text()
    assert len(text) < 150_000
    assert not [place for place in ("/tmp/", "/home/", "/root/", os.sep + "work" + os.sep) if place in text]
    for cell in nbformat.reads(text, as_version=4).cells:
        assert not any(output.output_type == "error" for output in cell.get("outputs", ()))
