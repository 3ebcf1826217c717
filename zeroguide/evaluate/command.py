"""A run as a user describes it: everything is opened and checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import Dataset, load_dataset
from zeroguide.evaluate.metrics.lac import Relation
from zeroguide.evaluate.metrics.wordnet import WordNet
from zeroguide.evaluate.predictions.folder import FolderPredictions
from zeroguide.evaluate.predictions.pipeline import Pipeline, check_stage
from zeroguide.evaluate.predictions.prediction import Predictor
from zeroguide.evaluate.predictions.segments import Segments
from zeroguide.evaluate.reports import report
from zeroguide.evaluate.reports.drawing import pictures
from zeroguide.evaluate.runner import evaluate
from zeroguide.evaluate.scoring.metrics_table import PROTOCOLS
from zeroguide.evaluate.scoring.protocols import TEXT, Available, check_names, impossible
from zeroguide.evaluate.scoring.results import (
    RESULTS,
    SENTENCE_ENCODER,
    WORDNET,
    Results,
    Source,
    Stage,
)
from zeroguide.evaluate.scoring.sentences import DEFAULT, SentenceEncoder, SentenceTransformer
from zeroguide.models import choose_device, prepare
from zeroguide.recipe import Recipe
from zeroguide.segment.fitted import METHODS
from zeroguide.segment.fitted.config import read_config
from zeroguide.system.console import Console
from zeroguide.system.folder_lock import locked

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler
    from zeroguide.segmenter import Segmenter


@dataclass(frozen=True)
class Options:
    """What a run is told beside data set, stage and protocols; `zeroguide eval --help` explains."""

    data: str | PathLike[str] | None
    split: str | None
    limit: int | None
    crop: int | None
    predictions: str | PathLike[str] | None
    encoder: str | None
    recipe: Recipe
    device: str
    offline: bool
    overwrite: bool


def run(
    name: str,
    stage: Stage,
    protocols: Sequence[str] | None,
    options: Options,
    output: str | PathLike[str],
    console: Console,
    command: str | None = None,
    *,
    optional: Sequence[str] = (),
) -> Results:
    """Evaluate and write all files; what is wrong with the inputs is said before any model loads.

    Args:
        name: of the data set.
        protocols: names of families; None: all that are possible.
        output: an existing folder.
        command: the command line, for the report.
        optional: families beside `protocols` that are left out, with a note, for want of a tool.

    Raises UsageError and ZeroguideError; OutputError if another run is writing to the folder.
    """
    output = Path(output)
    if options.predictions is not None:
        _check_outside(output, Path(options.predictions))
    with locked(output):
        return _run(name, stage, protocols, options, output, console, command, optional)


def _run(
    name: str,
    stage: Stage,
    protocols: Sequence[str] | None,
    options: Options,
    output: Path,
    console: Console,
    command: str | None,
    optional: Sequence[str],
) -> Results:
    """As `run`, alone in the folder."""
    wanted = None if protocols is None else check_names(protocols)
    dataset, known = _open(name, options)
    dataset.check()
    predictor, source, settings = _predictor(name, dataset, known, stage, options)
    embeddings = isinstance(predictor, Pipeline) and stage != "true-names"
    if isinstance(predictor, FolderPredictions):
        for text in predictor.notes:
            console.note(text)
    names = predictor.named if isinstance(predictor, FolderPredictions) else stage != "segments"
    clusters = stage != "segments" or options.recipe.segmenter.method == "fitted"
    # Before anything is loaded; without names there is nothing to load for.
    _choose(dataset, wanted, Available(True, embeddings, True, stage, names, clusters))
    tools = _tools(wanted, optional, options) if names else _Tools()
    encoder, relation = tools.encoder, tools.relation
    have = Available(encoder is not None, embeddings, relation is not None, stage, names, clusters)
    chosen = _choose(dataset, wanted, have)
    reasons = impossible(dataset, have)
    chosen += [name for name in optional if name not in (*reasons, *chosen)]
    for what, reason in tools.missing.items():
        console.note(f"left out without {what}: {reason}")
    if options.predictions is None:
        console.note(options.recipe.introduction)
    if options.data is not None:
        settings["data"] = str(Path(options.data).resolve())
    results = evaluate(
        dataset,
        predictor,
        output,
        source=source,
        protocols=chosen,
        encoder=encoder,
        relation=relation,
        missing=tools.missing,
        seed=options.recipe.seed,
        settings=settings,
        restart=options.overwrite,
        console=console,
    )
    console.step("writing the report")
    results.save(output / RESULTS)
    report.write(results, output, pictures=pictures(dataset, output), command=command)
    return results


def _check_outside(output: Path, predictions: Path) -> None:
    """UsageError for results among the predictions: one could replace the other."""
    if output.resolve().is_relative_to(predictions.resolve()):
        raise UsageError(
            f"{output}: is in the folder of the predictions, where results don't belong; choose "
            "another folder with -o"
        )


def _open(name: str, options: Options) -> tuple[Dataset, list[str]]:
    """The data set, cut to the limit, and the names of all its images.

    Of a rendered world those that are scored: it has no end, see `_more_scenes`.
    """
    if name == "playroom":
        dataset = load_dataset(
            name, options.data, split=options.split, limit=options.limit, crop=options.crop
        )
        return dataset, [sample.name for sample in dataset]
    dataset = load_dataset(name, options.data, split=options.split, crop=options.crop)
    known = [sample.name for sample in dataset]
    dataset.select(options.limit, None)
    return dataset, known


def _more_scenes(known: Sequence[str], names: Sequence[str]) -> list[str]:
    """Of names of predictions those of further scenes of the world that `known` ones are of."""
    world = known[0].rpartition("-")[0]
    numbers = (name.removeprefix(f"{world}-") for name in names if name.startswith(f"{world}-"))
    valid = (n for n in numbers if n.isascii() and n.isdigit() and n == f"{int(n):05d}")
    return [f"{world}-{number}" for number in valid]


def _predictor(
    name: str, dataset: Dataset, known: list[str], stage: Stage, options: Options
) -> tuple[Predictor, Source, dict[str, Any]]:
    """What is scored, what results say of it, and what else its rows depend on."""
    if options.predictions is not None:
        folder = FolderPredictions(options.predictions)
        if name == "playroom":
            known = [*known, *_more_scenes(known, folder.names)]
        folder.check(dataset, known)
        source = Source("predictions", stage, folder=str(options.predictions))
        return folder, source, {"files": folder.fingerprint()}

    check_stage(stage, dataset)
    recipe = options.recipe
    prepare(recipe.checkpoints(labels=stage != "segments"), offline=options.offline)
    source = Source("pipeline", stage, recipe.model_dump(mode="json"))
    device = str(choose_device(options.device))
    settings: dict[str, Any] = {"device": device}
    if recipe.segmenter.model is not None:
        # Another model in the same folder is another method.
        settings["fitted"] = read_config(Path(recipe.segmenter.model), list(METHODS)).digest

    # These import torch: what is missing is said before.
    def load() -> Labeler:
        from zeroguide.labeler import Labeler

        return Labeler(recipe, device=options.device, offline=options.offline)

    def load_segmenter() -> Segmenter:
        from zeroguide.segmenter import Segmenter

        return Segmenter(recipe, device=options.device, offline=options.offline)

    if stage == "segments":
        return Segments(load_segmenter, device), source, settings
    return Pipeline(load, stage, device), source, settings


@dataclass
class _Tools:
    """What compares texts; `missing` says of one that isn't there why, and what to do."""

    encoder: SentenceEncoder | None = None
    relation: Relation | None = None
    missing: dict[str, str] = field(default_factory=dict)


def _tools(protocols: Sequence[str] | None, optional: Sequence[str], options: Options) -> _Tools:
    """Sentence encoder and WordNet; an error if one is missing that was asked for."""
    tools = _Tools()
    if protocols is None or not set(TEXT).isdisjoint(protocols):
        try:
            tools.encoder = SentenceTransformer(
                options.encoder or DEFAULT,
                device=str(choose_device(options.device)),
                offline=options.offline,
            )
        except ZeroguideError as error:
            if protocols is not None or options.encoder is not None:
                raise
            tools.missing[SENTENCE_ENCODER] = str(error)
    if protocols is None or not {"lac", "naming"}.isdisjoint({*protocols, *optional}):
        try:
            tools.relation = WordNet().relation
        except ZeroguideError as error:
            if protocols is not None and "lac" in protocols:
                raise
            tools.missing[WORDNET] = str(error)
    return tools


def _choose(dataset: Dataset, wanted: list[str] | None, have: Available) -> list[str]:
    """The protocols of the run; UsageError for one that was asked for and can't be followed."""
    reasons = impossible(dataset, have)
    for name in wanted or ():
        if name in reasons:
            raise UsageError(
                f"the protocol {name} can't be followed: {reasons[name]}; leave it out"
            )
    return wanted or [name for name in PROTOCOLS if name not in reasons]
