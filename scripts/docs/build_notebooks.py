"""Runs the notebooks and writes them back with small outputs: what is shown is what the code does.

    python -m scripts.docs.build_notebooks                     # all of notebooks/
    python -m scripts.docs.build_notebooks notebooks/02_segmenters.ipynb

Each is executed from its first cell to its last in an empty folder, on the CPU. Then pictures get a
palette, times and the kernel's notes are dropped, and the code's hash is noted, by which
tests/test_notebooks.py finds outputs of other code. Edit a notebook in Jupyter, save, run this.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import PIL.Image
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
MOST_BYTES = 1_000_000
TIMEOUT = 300  # seconds for a cell
# What must not be in an output: somebody's folders, names of temporary files, objects' addresses.
MACHINE = re.compile(r"/(?:home|root|tmp|work|Users|private|var)/|\bat 0x[0-9a-f]{6,}")


def main() -> None:
    """Run the notebooks named on the command line, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(FOLDER.glob("*.ipynb")))
    for path in parser.parse_args().notebooks:
        notebook = execute(nbformat.read(path, as_version=4))
        tidy(notebook)
        text = nbformat.writes(notebook) + "\n"
        problem = fault(notebook, len(text.encode()))
        if problem:
            raise SystemExit(f"{path}: {problem}")
        path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {len(text.encode()) / 1e3:.0f} kB")


def execute(notebook: Any) -> Any:
    """The notebook with new outputs; nbclient's CellExecutionError if a cell fails."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook, timeout=TIMEOUT, kernel_name="python3", resources=resources
        )
        return client.execute()


def tidy(notebook: Any) -> None:
    """Leave only what the code says, and make pictures small."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "zeroguide": {"code": code_hash(notebook)},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = {}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("text/plain", None) if _is_figure(output) else None
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])


def code_hash(notebook: Any) -> str:
    """Of all code cells in their order."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()[:16]


def smaller(png: str) -> str:
    """A PNG in base64 with 256 colours."""
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    data = io.BytesIO()
    picture.quantize(256, dither=PIL.Image.Dither.FLOYDSTEINBERG).save(data, "PNG", optimize=True)
    return base64.b64encode(data.getvalue()).decode()


def fault(notebook: Any, size: int) -> str | None:
    """Why outputs can't be committed: an error, something printed as one, a machine's paths."""
    if size > MOST_BYTES:
        return f"{size} bytes are more than {MOST_BYTES}; make figures smaller"
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error" or output.get("name") == "stderr":
                return f"cell {number} wrote to stderr or failed: {str(output)[:300]}"
            texts = [output.get("text", ""), *map(str, output.get("data", {}).values())]
            found = next((m for text in texts if (m := MACHINE.search(text))), None)
            if found:
                return f"cell {number} shows {found.group()!r}, which is this machine's"
    return None


def _is_figure(output: Any) -> bool:
    return "image/png" in output.get("data", {})


if __name__ == "__main__":
    main()
