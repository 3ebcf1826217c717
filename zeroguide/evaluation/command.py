"""A run as a user describes it: everything is opened and checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.console import Console
from zeroguide.datasets import Dataset, load_dataset
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluation import report
from zeroguide.evaluation.drawing import pictures
from zeroguide.evaluation.metrics_table import PROTOCOLS
from zeroguide.evaluation.pipeline import Pipeline, check_stage
from zeroguide.evaluation.prediction_folder import FolderPredictions
from zeroguide.evaluation.predictions import Predictor
from zeroguide.evaluation.protocols import TEXT, Available, check_names, impossible
from zeroguide.evaluation.results import Results, Source, Stage
from zeroguide.evaluation.runner import evaluate
from zeroguide.evaluation.sentences import DEFAULT, SentenceEncoder, SentenceTransformer
from zeroguide.metrics.lac import Relation
from zeroguide.metrics.wordnet import WordNet
from zeroguide.models import choose_device, prepare
from zeroguide.recipe import Recipe

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler

RESULTS = "results.json"


@dataclass(frozen=True)
class Options:
    """What a run is told beside data set, stage and protocols; `zeroguide eval --help` explains."""

    data: Path | None
    split: str | None
    limit: int | None
    predictions: Path | None
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
    output: Path,
    console: Console,
    command: str | None = None,
) -> Results:
    """Evaluate and write all files; what is wrong with the inputs is said before any model loads.

    Args:
        name: of the data set.
        protocols: names of families; None: all that are possible.
        output: an existing folder.
        command: the command line, for the report.

    Raises UsageError and ZeroguideError.
    """
    wanted = None if protocols is None else check_names(protocols)
    dataset, known = _open(name, options)
    dataset.check()
    predictor, source, settings = _predictor(dataset, known, stage, options)
    embeddings = options.predictions is None and stage != "true-names"
    names = not isinstance(predictor, FolderPredictions) or predictor.named
    # Before anything is loaded; without names there is nothing to load for.
    _choose(dataset, wanted, Available(True, embeddings, True, stage, names))
    encoder, relation, missing = _tools(wanted, options) if names else (None, None, [])
    have = Available(encoder is not None, embeddings, relation is not None, stage, names)
    chosen = _choose(dataset, wanted, have)
    for reason in missing:
        console.note(f"left out: {reason}")
    if options.predictions is None:
        console.note(f"preset {options.recipe.name}: {options.recipe.knows}")
    if options.data is not None:
        settings["data"] = str(options.data.resolve())
    results = evaluate(
        dataset,
        predictor,
        output,
        source=source,
        protocols=chosen,
        encoder=encoder,
        relation=relation,
        split=options.split,
        seed=options.recipe.seed,
        settings=settings,
        restart=options.overwrite,
        console=console,
    )
    console.step("writing the report")
    results.save(output / RESULTS)
    report.write(results, output, pictures=pictures(dataset, output), command=command)
    return results


def _open(name: str, options: Options) -> tuple[Dataset, list[str]]:
    """The data set, cut to the limit, and the names of all its images."""
    if name == "playroom":  # rendered: there is no end of it
        dataset = load_dataset(name, options.data, split=options.split, limit=options.limit)
        return dataset, [sample.name for sample in dataset]
    dataset = load_dataset(name, options.data, split=options.split)
    known = [sample.name for sample in dataset]
    dataset.select(options.limit, None)
    return dataset, known


def _predictor(
    dataset: Dataset, known: list[str], stage: Stage, options: Options
) -> tuple[Predictor, Source, dict[str, Any]]:
    """What is scored, what results say of it, and what else its rows depend on."""
    if options.predictions is not None:
        folder = FolderPredictions(options.predictions)
        folder.check(dataset, known)
        source = Source("predictions", stage, folder=str(options.predictions))
        return folder, source, {"files": folder.fingerprint()}

    check_stage(stage, dataset)
    prepare(options.recipe.checkpoints(), offline=options.offline)

    def load() -> Labeler:
        from zeroguide.labeler import Labeler  # imports torch: what is missing is said before

        return Labeler(options.recipe, device=options.device, offline=options.offline)

    recipe = options.recipe.model_dump(mode="json")
    device = str(choose_device(options.device))
    return Pipeline(load, stage, device), Source("pipeline", stage, recipe), {"device": device}


def _tools(
    protocols: Sequence[str] | None, options: Options
) -> tuple[SentenceEncoder | None, Relation | None, list[str]]:
    """Sentence encoder and WordNet, and why one is missing; an error if it was asked for."""
    missing: list[str] = []
    encoder: SentenceEncoder | None = None
    relation: Relation | None = None
    if protocols is None or not set(TEXT).isdisjoint(protocols):
        try:
            encoder = SentenceTransformer(
                options.encoder or DEFAULT,
                device=str(choose_device(options.device)),
                offline=options.offline,
            )
        except ZeroguideError as error:
            if protocols is not None or options.encoder is not None:
                raise
            missing.append(f"what compares texts with texts: {error}")
    if protocols is None or "lac" in protocols:
        try:
            relation = WordNet().relation
        except ZeroguideError as error:
            if protocols is not None:
                raise
            missing.append(f"the lexical alignment curve: {error}")
    return encoder, relation, missing


def _choose(dataset: Dataset, wanted: list[str] | None, have: Available) -> list[str]:
    """The protocols of the run; UsageError for one that was asked for and can't be followed."""
    reasons = impossible(dataset, have)
    for name in wanted or ():
        if name in reasons:
            raise UsageError(
                f"the protocol {name} can't be followed: {reasons[name]}; leave it out"
            )
    return wanted or [name for name in PROTOCOLS if name not in reasons]
