"""Measures the page: seconds until a cold `zeroguide web` answers, milliseconds of a re-merge.

    python -m scripts.bench.web

The start is a new process from its first instruction to its answer to GET /, and on to the first
labelled picture. The re-merge is what a move of the slider costs on the server: merging 40
over-segments anew, outlines, colours and JSON; thresholds at random, so that most joined segments
are new and nothing comes from a cache.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np

from zeroguide.image import from_array
from zeroguide.recipe import Merge
from zeroguide.web.editing import Editor, Naming, Parts, TextTable
from zeroguide.web.examples import SCENES
from zeroguide.web.view import View

N_SEGMENTS, N_EMBEDDING, SIDE = 40, 512, (768, 1024)


def measure_start() -> tuple[float, float]:
    """Seconds to the first answered request, and to the first labelled picture."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "zeroguide", "web", "--preset", "tiny", "--offline", "-q"]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                with urllib.request.urlopen(url, timeout=60) as answer:
                    answer.read()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        answered = time.perf_counter() - start
        from gradio_client import Client, handle_file

        client = Client(url, verbose=False)
        client.predict(handle_file(str(SCENES / "tent.png")), api_name="/label")
        labelled = time.perf_counter() - start
        client.close()
        return answered, labelled
    finally:
        process.terminate()
        process.wait()


def make_editor(rng: np.random.Generator, edges: str) -> Editor:
    """40 wavy over-segments of ten kinds, so that many are alike."""
    height, width = SIDE
    y, x = np.mgrid[:height, :width]
    wave = 20 * np.sin(x / 23) + 20 * np.sin(y / 31)
    centres = rng.uniform(0, 1, (N_SEGMENTS, 2)) * SIDE
    distances = [np.hypot(y - cy, x - cx + wave) for cy, cx in centres]
    label_map = np.unique(np.argmin(distances, axis=0), return_inverse=True)[1]
    label_map = label_map.reshape(SIDE).astype(np.int32)
    kinds = rng.normal(size=(10, N_EMBEDDING)).astype(np.float32)
    kinds /= np.linalg.norm(kinds, axis=1, keepdims=True)
    names = {f"name {i}": kind for i, kind in enumerate(kinds)}
    named: dict[Parts, Naming] = {}
    for part in range(int(label_map.max()) + 1):
        order = [f"name {i}" for i in rng.permutation(10)[:6]]
        seen = names[order[0]] + rng.normal(size=N_EMBEDDING).astype(np.float32) / 30
        named[part,] = Naming(tuple((name, 0.3) for name in order), seen, 0.5)
    return Editor(
        from_array(rng.integers(0, 255, (*SIDE, 3), np.uint8)),
        label_map,
        named=named,
        texts=TextTable(names, names, kinds, 3.0, 2.0),
        merge=Merge(edges=edges),  # type: ignore[arg-type]
        provenance={},
    )


def measure_merge(edges: str) -> list[float]:
    """Milliseconds of 40 moves of the slider."""
    rng = np.random.default_rng(0)
    editor = make_editor(rng, edges)
    view = View(editor)
    json.dumps(view.scene(editor))
    times = []
    for threshold in rng.uniform(0.2, 1.0, 40):
        start = time.perf_counter()
        editor.set_threshold(float(threshold))
        json.dumps(view.state(editor))
        times.append(1000 * (time.perf_counter() - start))
    return times


def main() -> None:
    """Print both."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    answered, labelled = measure_start()
    print(f"cold start, tiny: answers after {answered:.1f} s, labels after {labelled:.1f} s")
    for edges in ("adjacent", "all"):
        times = measure_merge(edges)
        print(
            f"re-merge, {N_SEGMENTS} segments, edges {edges}: median "
            f"{statistics.median(times):.0f} ms, longest {max(times):.0f} ms"
        )


if __name__ == "__main__":
    main()
