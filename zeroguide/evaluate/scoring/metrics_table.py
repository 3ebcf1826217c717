"""Which protocols and metrics there are: the one table that runs, reports and comparisons share.

A protocol is a family of numbers that may stand in one table. Numbers of two protocols answer two
questions, even where both are called mIoU, and are never ranked together.

The table is data: `protocols.tsv` and `metrics.tsv`, in the order in which reports show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, cast

Unit = Literal["%", "s", "MiB", "count"]


@dataclass(frozen=True)
class Protocol:
    """A family of metrics: a name for the command line, a title, and one sentence on the rules."""

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class Metric:
    """One metric: its name in results.json, a title for tables, the protocol it belongs to.

    variants: what else tells two numbers of the metric apart; empty if there is only one.
    """

    name: str
    title: str
    protocol: str
    unit: Unit
    higher_is_better: bool
    description: str
    variants: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """Metrics are computed as shares in [0, 1] and written in their unit: 100 for percent."""
        return 100.0 if self.unit == "%" else 1.0


def key(metric: str, variant: str = "") -> str:
    """How images' and classes' rows name a number: ``"miou/TT"``, or the metric's name alone."""
    return f"{metric}/{variant}" if variant else metric


def split_key(name: str) -> tuple[Metric, str]:
    """The metric and the variant of a `key`; KeyError for an unknown metric."""
    metric, _, variant = name.partition("/")
    return METRICS[metric], variant


def _rows(name: str) -> list[list[str]]:
    """The cells of a table; its first line says what they are."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()[1:]]


def _metric(
    name: str, title: str, protocol: str, unit: str, better: str, variants: str, description: str
) -> Metric:
    split = () if variants == "-" else tuple(variants.split(";"))
    higher = {"higher": True, "lower": False}[better]
    return Metric(name, title, protocol, cast("Unit", unit), higher, description, split)


PROTOCOLS: dict[str, Protocol] = {row[0]: Protocol(*row) for row in _rows("protocols.tsv")}
METRICS: dict[str, Metric] = {row[0]: _metric(*row) for row in _rows("metrics.tsv")}

LADDER_NAMES = METRICS["lac_miou"].variants
"""Relations in WordNet up to which a label is accepted, each with those before."""
NAMES = METRICS["ar_tt"].variants
"""Classes a segment is compared with: the data set's, or those in the image (an easier task)."""
