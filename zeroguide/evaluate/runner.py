"""Image after image: predict, score beside the next prediction, keep the row; then summarise.

Prediction runs in the caller's thread, scoring in one other, at most a few images behind; numpy
lets go of the interpreter while it counts. Of an image nothing is kept but its row. An image that
fails is a row with its error. A run that was stopped goes on where it was; see `rows`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from typing import Any

from zeroguide.errors import DeviceError
from zeroguide.evaluate.datasets import Dataset, Sample
from zeroguide.evaluate.metrics.lac import Relation
from zeroguide.evaluate.predictions.prediction import Prediction, Predictor
from zeroguide.evaluate.reports.views import headline
from zeroguide.evaluate.scoring.image import Classes
from zeroguide.evaluate.scoring.protocols import score_image
from zeroguide.evaluate.scoring.results import DatasetInfo, ImageRow, Results, Source
from zeroguide.evaluate.scoring.rows import Row, RowFile
from zeroguide.evaluate.scoring.sentences import SentenceEncoder
from zeroguide.evaluate.scoring.summary import summarise
from zeroguide.system.console import Console

AHEAD = 2
"""Predictions that may wait to be scored: memory stays flat however slow scoring is."""
_LIBRARIES = (
    "numpy", "scipy", "pycocotools", "torch", "open_clip_torch", "transformers",
    "sentence-transformers",
)  # fmt: skip


def evaluate(
    dataset: Dataset,
    predictor: Predictor,
    folder: str | PathLike[str],
    *,
    source: Source,
    protocols: Sequence[str],
    encoder: SentenceEncoder | None = None,
    relation: Relation | None = None,
    missing: Mapping[str, str] | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    restart: bool = False,
    console: Console | None = None,
) -> Results:
    """Score a predictor on a data set, both checked before.

    Args:
        dataset: what is scored, in its order.
        predictor: asked for one image after the other, in this thread.
        folder: rows.jsonl goes there; it exists.
        source, seed: for the results.
        protocols: names of families, none of them `protocols.impossible`.
        encoder, relation: what they need.
        missing: of these two what isn't there, with the reason; for the results.
        settings: what else decides a row; a run goes on only with rows of its own settings.
        restart: begin anew, whatever rows there are.
        console: for progress and failed images; None: silent.

    Returns the results, not yet written. Raises UsageError for rows of other settings, OutputError
    if rows can't be written, DeviceError. After that and a KeyboardInterrupt all finished rows are
    in the file.
    """
    started = time.perf_counter()
    console = console or Console(quiet=True)
    encoder_name = encoder.name if encoder is not None else None
    decides = {
        "zeroguide": version("zeroguide"),
        "dataset": dataset.name,
        "classes": _digest(dataset),
        "split": dataset.split,
        "source": [source.kind, source.folder],
        "stage": source.stage,
        "recipe": source.recipe,
        "protocols": sorted(protocols),
        "sentence_encoder": encoder_name,
        "wordnet": relation is not None,
        "seed": seed,
        **(settings or {}),
    }
    truths = {entry.name: dataset.stamp(entry) for entry in dataset.entries}
    kept = RowFile(folder, decides, truths=truths, restart=restart)
    try:
        todo = [sample for sample in dataset if sample.name not in kept.rows]
        if todo:
            predictor.start()
            st = "st" in protocols or "semantic" in protocols or "naming" in protocols
            embed = predictor.class_embeddings if st else None
            classes = Classes(dataset, encoder, embed, relation)

            def finish(sample: Sample, prediction: Prediction, peak: float) -> Row:
                row = score_image(sample, prediction, classes, protocols, peak)
                return dataclasses.replace(row, truth=truths[sample.name])

            _run(todo, predictor, finish, kept, console)
    finally:
        kept.close()
    rows = [kept.rows[sample.name] for sample in dataset]
    names = [each.name for each in dataset.classes]
    summary = summarise(rows, names, protocols, background=dataset.background)
    peaks = [row.peak_memory for row in rows if row.peak_memory == row.peak_memory]
    return Results(
        dataset=DatasetInfo(dataset.name, dataset.split, len(dataset), len(dataset.classes)),
        source=source,
        versions=_versions(),
        seed=seed,
        device=predictor.device_name,
        sentence_encoder=encoder_name,
        seconds=time.perf_counter() - started,
        peak_memory_mib=max(peaks, default=float("nan")),
        summary=summary.summary,
        classes=summary.classes,
        images=summary.images,
        confusions=summary.confusions,
        curves=summary.curves,
        headline=headline(value.key for value in summary.summary),
        missing=dict(missing or {}),
    )


def _run(
    todo: Sequence[Sample],
    predictor: Predictor,
    finish: Callable[[Sample, Prediction, float], Row],
    kept: RowFile,
    console: Console,
) -> None:
    """Do all samples; their rows are added in order."""
    waiting: deque[tuple[Sample, Future[Row]]] = deque()

    def failed(sample: Sample, error: Exception) -> None:
        text = console.failure(error, about=sample.name)
        kept.add(Row(ImageRow(sample.name, error=text)))

    def add_oldest() -> None:
        sample, future = waiting.popleft()
        try:
            row = future.result()
        except DeviceError:
            raise
        except Exception as error:  # whatever one image does must not cost the others
            failed(sample, error)
        else:
            kept.add(row)

    with ThreadPoolExecutor(1) as scorer:
        try:
            for number, sample in enumerate(todo, start=1):
                console.step(f"{number} of {len(todo)}: {sample.name}")
                try:
                    prediction = predictor.predict(sample)
                except DeviceError as error:  # no other image would fare better
                    raise DeviceError(error.device, error.reason, sample.name) from error
                except Exception as error:
                    while waiting:
                        add_oldest()
                    failed(sample, error)
                    continue
                peak = predictor.peak_memory()
                waiting.append((sample, scorer.submit(finish, sample, prediction, peak)))
                while len(waiting) > AHEAD:
                    add_oldest()
        finally:  # also when interrupted: what has been predicted is kept
            while waiting:
                add_oldest()


def _digest(dataset: Dataset) -> str:
    """Changes with the list of classes and which of them is the background."""
    classes = [(each.name, each.synonyms, each.kind) for each in dataset.classes]
    return hashlib.sha256(repr((classes, dataset.background)).encode()).hexdigest()[:16]


def _versions() -> dict[str, str]:
    """Of everything that a number may depend on."""
    versions = {"zeroguide": version("zeroguide")}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
