"""The notebook, cell by cell. `SIMSEG_MODELS` names the folder of its models, which `examples/figures.rs` trains."""

import json
import os
import re

import pytest
from conftest import ROOT

NOTEBOOK = ROOT / "crates/python/notebook.ipynb"


def test_it_is_stored_without_outputs():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5 and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    assert NOTEBOOK.stat().st_size < 20_000


def test_every_cell_runs_and_the_picture_is_that_of_the_readme():
    for module in ("nbclient", "nbformat", "ipykernel", "matplotlib"):
        pytest.importorskip(module)
    import nbclient
    import nbformat

    if not os.environ.get("SIMSEG_MODELS"):
        pytest.skip("SIMSEG_MODELS names no models")
    notebook = nbformat.read(NOTEBOOK, 4)
    # A cell that raises ends this with its error.
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2, "two figures"
    printed = "".join(output["text"] for output in outputs if output.output_type == "stream")
    rings = re.search(r"(\d) of 9 rings in the same place", printed)
    # All nine on a CPU with AVX2, as the book's step checks; on others sums are rounded otherwise.
    assert rings and int(rings[1]) >= 6, printed
    assert "[CLS]" in printed, "why holistic alignment has no ledger"
