"""The notebooks run, and what they show is of the code that they show."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import REPOSITORY

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

from scripts.docs import build_notebooks  # noqa: E402

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def read(path: Path):
    return nbformat.read(path, as_version=4)


def kinds(notebook) -> list[list[str]]:
    """For each code cell what its outputs are."""
    return [
        [output.get("name") or "/".join(sorted(output.get("data", {}))) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_there_are_four() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "01_stage_by_stage",
        "02_segmenters",
        "03_evaluate_your_own_data",
        "04_swap_models",
    ]
    readme = (REPOSITORY / "notebooks" / "README.md").read_text()
    assert all(path.name in readme for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_is_of_this_code(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert build_notebooks.fault(notebook, path.stat().st_size) is None
    again = "run python -m scripts.docs.build_notebooks"
    assert notebook.metadata["zeroguide"]["code"] == build_notebooks.code_hash(notebook), again
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), again
    pictures = [kind for outputs in kinds(notebook) for kind in outputs if "png" in kind]
    assert len(pictures) >= 4  # pictures, not prints


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_what_is_committed(path: Path) -> None:
    notebook = read(path)
    committed = kinds(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    done = build_notebooks.execute(notebook)  # fails if a cell does
    build_notebooks.tidy(done)
    assert build_notebooks.fault(done, 0) is None
    assert kinds(done) == committed


def test_faults_are_found() -> None:
    def fault(**output: object) -> str | None:
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell("1")]
        notebook.cells[0].outputs = [nbformat.v4.new_output(**output)]  # type: ignore[arg-type]
        return build_notebooks.fault(notebook, 0)

    def shown(text: str) -> str | None:
        return fault(output_type="display_data", data={"text/plain": text})

    assert shown("fine, 3 / 4 of it") is None
    assert "'/home/'" in str(shown("/home/someone/x.png"))
    assert "'/tmp/'" in str(fault(output_type="stream", name="stdout", text="in /tmp/abc"))
    assert "at 0x7fa86d" in str(shown("<object at 0x7fa86d9923b0>"))
    assert "stderr" in str(fault(output_type="stream", name="stderr", text="careful"))
    assert "failed" in str(fault(output_type="error", ename="E", evalue="x", traceback=[]))
    assert "more than" in str(build_notebooks.fault(nbformat.v4.new_notebook(), 2_000_000))


def test_other_code_has_another_hash() -> None:
    notebook = read(NOTEBOOKS[0])
    before = build_notebooks.code_hash(notebook)
    notebook.cells[0].source += " more text"  # words may change
    assert build_notebooks.code_hash(notebook) == before
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.source += "\n1"
    assert build_notebooks.code_hash(notebook) != before
