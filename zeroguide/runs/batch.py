"""Many image files, one after the other: where results go, and a bad image never stops the rest."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from zeroguide.errors import DeviceError, OutputError, UsageError, ZeroguideError
from zeroguide.runs.failures import Failures
from zeroguide.runs.layout import FAILURES
from zeroguide.system.console import Console

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.image.value_range import Range

EXIT_FAILED, EXIT_SOME_FAILED = 1, 3


@dataclass(frozen=True)
class Job:
    """One image and the files its results go to, keyed by suffix."""

    source: Path
    outputs: dict[str, Path]


def plan(
    sources: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    suffixes: Sequence[str],
    *,
    overwrite: bool,
    shared: Sequence[str] = (),
) -> list[Job]:
    """Decide every result's path before any work: OUTPUT/<source's place>/<full file name><suffix>.

    Places are relative to the sources' common parent, so files of one name from two folders stay
    apart; the full name is kept, so `x.jpg` and `x.png` do too. A source named twice is done once.
    shared: names of files in OUTPUT that the run writes beside those of single images.

    Raises UsageError for a result that would replace a source or another result, OutputError for
    results that already exist.
    """
    output = Path(output)
    by_place: dict[str, Path] = {}
    for source in map(Path, sources):
        by_place.setdefault(os.path.abspath(source), source)
    try:
        common = os.path.commonpath([os.path.dirname(place) for place in by_place])
    except ValueError as error:  # Windows only
        raise UsageError("images of different drives: label one drive at a time") from error
    jobs = []
    for place, source in by_place.items():
        base = output / os.path.relpath(place, common)
        jobs.append(Job(source, {s: base.with_name(base.name + s) for s in suffixes}))

    results = [(job.source, path) for job in jobs for path in job.outputs.values()]
    results += [(output, output / name) for name in shared]
    planned = Counter(os.path.abspath(path) for _, path in results)
    for source, path in results:
        if os.path.abspath(path) in by_place or planned[os.path.abspath(path)] > 1:
            raise UsageError(
                f"{path}: the result of {source} would replace a file of this run; "
                "choose another folder with -o"
            )
    existing = [path for _, path in results if os.path.lexists(path)]
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise OutputError(
            f"{existing[0]}{more}: already exists; replace with --overwrite or choose another "
            "folder with -o"
        )
    return jobs


@contextlib.contextmanager
def saving(job: Job) -> Iterator[None]:
    """Around the writing of a job's results: all of them or none, OutputError if it fails."""
    try:
        for path in job.outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for path in job.outputs.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(
                f"{job.source}: its results can't be written ({error.strerror or error}); "
                "choose another folder with -o"
            ) from error
        if isinstance(error, ZeroguideError):
            raise OutputError(str(error)) from error
        raise


def run(
    jobs: Sequence[Job],
    start: Callable[[], Callable[[Job, Image], None]],
    *,
    output: str | PathLike[str],
    console: Console,
    value_range: Range | None,
) -> int:
    """Do every job; returns the exit code: 0, 1 if all images failed, 3 if some did.

    `start` loads what is needed and returns the function that does one job. It is called when a
    first image has been read, so that mistakes are answered before anything heavy is imported. A
    UsageError, which is about settings, and DeviceError end the run; every other failure is one
    image's.
    value_range: see `zeroguide.image.opening.open_image`.
    Failures are reported one sentence each; with several jobs OUTPUT/failures.jsonl lists those of
    this run, one {"file", "error"} a line, and is removed when there are none.
    """
    output = Path(output)
    from zeroguide.image import check_image, open_image

    failures = Failures(output / FAILURES) if len(jobs) > 1 else None
    n_failed = 0

    def failed(job: Job, error: Exception) -> None:
        nonlocal n_failed
        n_failed += 1
        text = console.failure(error, about=job.source)
        if failures is not None:
            failures.add(str(job.source), text)

    try:
        readable = []
        for job in jobs:
            try:
                check_image(job.source)
                readable.append(job)
            except ZeroguideError as error:
                failed(job, error)
        work: Callable[[Job, Image], None] | None = None
        for number, job in enumerate(readable, start=1):
            try:
                image = open_image(job.source, value_range)
            except ZeroguideError as error:
                failed(job, error)
                continue
            for note in image.notes:
                console.note(f"{job.source}: {note}")
            if work is None:
                work = start()
            console.step(f"{number} of {len(readable)}: {job.source}")
            try:
                work(job, image)
            except DeviceError as error:
                raise DeviceError(error.device, error.reason, str(job.source)) from error
            except (OutputError, UsageError):
                raise  # no other image would fare better
            except Exception as error:  # whatever one image does must not cost the others
                failed(job, error)
    finally:
        if failures is not None:
            failures.close(keep=True)
    if failures is not None and n_failed:
        listed = f"listed in {failures.path}"
        console.note(f"{n_failed} of {len(jobs)} images failed, {listed}")
    return exit_code(n_failed, len(jobs))


def exit_code(n_failed: int, n: int) -> int:
    """0, 1 if all n images failed, 3 if some did."""
    if not n_failed:
        return 0
    return EXIT_FAILED if n_failed == n else EXIT_SOME_FAILED
