"""Kills a run again and again, and compares what it leaves with an undisturbed run.

    python -m scripts.check.kill --scenes 2000 --kills 20
    python -m scripts.check.kill --scenes 2000 --kills 20 --engine local ray

Renders Playroom scenes into a temporary folder and labels them twice with the preset tiny: once in
peace, always by the engine "local", and once while it is killed by SIGKILL at random moments: all
its processes, the parent alone or one worker (with the engine ray one worker, always); if it has
ended, it is started again by the same command. Then every image must have exactly one result, all
files must be valid, nothing else may lie there, and all results must be equal to the last byte.
Ends with exit code 1 if they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from zeroguide.result import Labeling
from zeroguide.runs.run_folder import RunFolder


def render_scenes(folder: Path, n: int) -> None:
    """n scenes as PNG files, in ten folders."""
    import PIL.Image

    from zeroguide.playroom import render

    for i in range(n):
        place = folder / f"{i % 10}"
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(render(11, i, size=112).pixels).save(place / f"scene {i:05d}.png")


def command(scenes: Path, output: Path, engine: str) -> list[str]:
    """The run under test."""
    argv = [sys.executable, "-m", "zeroguide", "label", str(scenes), "-o", str(output), "-q"]
    argv += ["--preset", "tiny", "--device", "cpu", "--workers", "2", "--no-overlay"]
    return [*argv, "--engine", engine] if engine != "local" else argv


def n_done(output: Path) -> int:
    """Results that are there."""
    try:
        return len(RunFolder(output).keys())
    except Exception:
        return 0


def disturbed(scenes: Path, output: Path, engine: str, kills: int, n: int) -> list[int]:
    """Run to the end through `kills` kills; how many results there were at each of them."""
    rng = random.Random(0)
    # When so many images are done, whatever the machine's pace; some come while models load.
    targets = sorted(rng.randrange(n * 9 // 10) for _ in range(kills))
    at_kill: list[int] = []
    while True:
        process = subprocess.Popen(command(scenes, output, engine), start_new_session=True)
        while len(at_kill) < kills and process.poll() is None:
            time.sleep(rng.uniform(0.1, 1.5))
            if n_done(output) < targets[len(at_kill)]:
                continue
            workers = ray_workers() if engine == "ray" else children(process.pid)
            who = "worker" if engine == "ray" else rng.choice(("all", "parent", "worker"))
            if who == "worker" and not workers:
                continue
            at_kill.append(n_done(output))
            if who == "worker":
                os.kill(rng.choice(workers), signal.SIGKILL)
            elif who == "parent":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        if process.wait() == 0:
            return at_kill
        if process.returncode != -signal.SIGKILL:
            raise SystemExit(f"the run ended with {process.returncode}")


def processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent's number and command line of every process of this machine."""
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                name = (place / "cmdline").read_bytes().decode(errors="replace")
                status = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            yield int(place.name), int(status[1]), name


def children(parent: int) -> list[int]:
    """The run's own workers."""
    return [n for n, of, name in processes() if of == parent and "spawn_main" in name]


def ray_workers() -> list[int]:
    """The processes of Ray's actors that label."""
    actor = re.compile(r"ray::.*(Label|MapWorker)")
    return [n for n, _, name in processes() if actor.match(name)]


def contents(output: Path) -> dict[str, str]:
    """Every image's result as text, checked."""
    found: dict[str, str] = {}
    for entry in RunFolder(output):
        assert entry.key not in found, f"{entry.key} is there twice"
        text = json.dumps(entry.labeling.to_dict(), sort_keys=True)
        Labeling.from_dict(json.loads(text))
        found[entry.key] = text
    return found


def main() -> int:
    """Run both, compare, print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--engine", choices=("local", "ray"), nargs="+", default=["local"])
    arguments = parser.parse_args()
    is_right = True
    with tempfile.TemporaryDirectory() as temporary:
        scenes = Path(temporary, "scenes")
        render_scenes(scenes, arguments.scenes)
        peaceful = Path(temporary, "peaceful")
        start = time.perf_counter()
        subprocess.run(command(scenes, peaceful, "local"), check=True)
        seconds = time.perf_counter() - start
        print(f"undisturbed: {arguments.scenes} images in {seconds:.0f} s", flush=True)
        one = contents(peaceful)
        for engine in arguments.engine:
            killed = Path(temporary, engine)
            at_kill = disturbed(scenes, killed, engine, arguments.kills, arguments.scenes)
            other = contents(killed)
            differing = sum(one[key] != other.get(key) for key in one)
            strange = [p for p in killed.rglob("*") if p.name.endswith(".tmp")]
            print(
                f"{engine}: killed {len(at_kill)} times, with this many results: {at_kill}; then "
                f"{len(one)} and {len(other)} results, {differing} differ, {len(strange)} files "
                "left over",
                flush=True,
            )
            is_right &= len(one) == len(other) == arguments.scenes and not differing
            is_right &= not strange and len(at_kill) == arguments.kills
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
