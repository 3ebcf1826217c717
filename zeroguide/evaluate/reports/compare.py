"""Is b better than a? Paired bootstrap over images for every number that two runs share.

Both runs must be of the same images: that some images are hard is most of the spread of a score,
and cancels in the difference of the same ones. Numbers are only compared with numbers of the same
protocol, metric and variant, and of the same judge: text-to-text numbers of two sentence encoders,
and CLIPScores of two CLIPs, are left out.

Failure modes: with many metrics some interval misses 0 by chance, one in twenty where nothing
differs. Numbers that aren't kept image by image (AP) have a difference, but no interval. Clusters
stay matched to classes as in the whole run, whichever images are drawn: intervals of such numbers
are too narrow.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.evaluate.metrics.bootstrap import Interval, of_difference
from zeroguide.evaluate.reports.comparable import (
    require_same_images,
    require_same_truth,
    shared_numbers,
)
from zeroguide.evaluate.reports.report import Table
from zeroguide.evaluate.reports.views import headline, image_scores, score
from zeroguide.evaluate.reports.wording import (
    interval,
    judge,
    key_title,
    of_what,
    quantity,
    share,
)
from zeroguide.evaluate.scoring.results import METRICS, PROTOCOLS, Results, Value, key

SCHEMA = "zeroguide-comparison/1"
COLUMNS = ("metric", "variant", "a", "b", "b - a", "95 % interval", "b better", "b worse")


@dataclass(frozen=True)
class Difference:
    """One number of both runs, over the images that both have scored.

    Attributes:
        a, b: the two values in `unit`.
        difference, low, high: b - a and its 95 % interval, NaN where there is none.
        better, worse: share of the images with a score of their own in both runs for which b's is
            better, or worse, whichever direction that is; NaN if images have no scores. Metrics
            that are summed over images are here applied to each image alone.
        n_images: how many images the difference is over.
    """

    protocol: str
    metric: str
    variant: str
    unit: str
    higher_is_better: bool
    a: float
    b: float
    difference: float
    low: float
    high: float
    better: float
    worse: float
    n_images: int


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side: what they are, their differences, and what was left out and why.

    sentence_encoder: both runs'; None if they have none, or two, of whom then nothing is in `rows`.
    """

    a: str
    b: str
    rows: tuple[Difference, ...]
    notes: tuple[str, ...]
    sentence_encoder: str | None = None

    @property
    def headline(self) -> Difference | None:
        """The number that leads: LAC's if both runs have it."""
        by_key = {key(row.metric, row.variant): row for row in self.rows}
        name = headline(by_key)
        return None if name is None else by_key[name]

    def lead(self) -> str:
        """The headline in words; nothing without one."""
        row = self.headline
        if row is None:
            return ""
        metric = METRICS[row.metric]
        a, b, difference = (quantity(x, metric) for x in (row.a, row.b, row.difference))
        between = interval(row.low, row.high, metric)
        name = key_title(key(row.metric, row.variant))
        return f"{name}: a {a}, b {b}; b - a {difference} {between}"

    def tables(self) -> list[Table]:
        """One table per protocol, as `Console.table` and `report.markdown_table` take them."""
        tables = []
        for name, known in PROTOCOLS.items():
            rows = [row for row in self.rows if row.protocol == name]
            about = judge((key(row.metric, row.variant) for row in rows), self.sentence_encoder)
            if rows:
                tables.append(Table(COLUMNS, list(map(_cells, rows)), known.title, about))
        return tables

    def to_json(self) -> str:
        """JSON text of the schema zeroguide-comparison/1, NaN as null."""
        first = self.headline
        data = {
            "schema": SCHEMA,
            "a": self.a,
            "b": self.b,
            "sentence_encoder": self.sentence_encoder,
            "headline": first and key(first.metric, first.variant),
            "notes": list(self.notes),
        }
        rows = [{name: _plain(value) for name, value in asdict(row).items()} for row in self.rows]
        return json.dumps({**data, "rows": rows}, indent=1, ensure_ascii=False, allow_nan=False)


def compare(a: Results, b: Results) -> Comparison:
    """Every number that both runs have, b against a.

    The images of one run may be some of the other's: then those are compared, and a note says so.

    Raises UsageError: another data set (a crop is one), split or class list, another truth of the
    same images, images that only one of the runs has on either side, no image that both have
    scored, or no number that both have.
    """
    notes = require_same_images(a, b)
    for name, results in (("a", a), ("b", b)):
        notes += [f"{name} is without {what}: {why}" for what, why in results.missing.items()]
    require_same_truth(a, b)
    theirs = {row.name for row in b.scored}
    images = [row.name for row in a.scored if row.name in theirs]
    in_both = len({row.name for row in a.images} & {row.name for row in b.images})
    if not images:
        raise UsageError("there is no image that both runs have scored; run the failed one again.")
    if len(images) < in_both:
        notes.append(f"left out, since one of the runs failed on them: {in_both - len(images)}")
    if a.source.stage != b.source.stage:
        notes.append(f"a is of stage {a.source.stage}, b of stage {b.source.stage}")
    versions = [results.versions.get("zeroguide", "unknown") for results in (a, b)]
    if len(set(versions)) > 1:
        notes.append("a was scored by zeroguide {}, b by {}".format(*versions))
    pairs = shared_numbers(a, b, notes)
    whole = len(images) == len(a.scored) == len(b.scored)
    rows = [_difference(a, b, *pair, images, whole) for pair in pairs]
    unknown = [METRICS[v.metric].title for (v, _), row in zip(pairs, rows, strict=True) if not row]
    if unknown:
        notes.append(f"known of all images of a run together alone: {', '.join(unknown)}")
    return Comparison(
        of_what(a),
        of_what(b),
        tuple(row for row in rows if row is not None),
        tuple(notes),
        a.sentence_encoder if a.sentence_encoder == b.sentence_encoder else None,
    )


def _difference(
    a: Results, b: Results, first: Value, second: Value, images: list[str], whole: bool
) -> Difference | None:
    """One row; None for a number that can't be had of these images alone."""
    n_images, better, worse = len(images), math.nan, math.nan
    try:
        ours, theirs = (results.image_sums(first.key, images) for results in (a, b))
    except KeyError:
        if not whole:
            return None
        values = first.value, second.value
        change = Interval(values[1] - values[0], math.nan, math.nan)
        n_images = first.n_images
    else:
        values = score(*ours), score(*theirs)
        change = of_difference(theirs, ours)
        scores = (image_scores(results, first.key, images) for results in (a, b))
        steps = np.subtract(*reversed(list(scores))) * (1 if first.higher_is_better else -1)
        steps = steps[~np.isnan(steps)]
        if len(steps):
            better, worse = float((steps > 0).mean()), float((steps < 0).mean())
    return Difference(
        protocol=first.protocol,
        metric=first.metric,
        variant=first.variant,
        unit=first.unit,
        higher_is_better=first.higher_is_better,
        a=values[0],
        b=values[1],
        difference=change.value,
        low=change.low,
        high=change.high,
        better=better,
        worse=worse,
        n_images=n_images,
    )


def _cells(row: Difference) -> tuple[str, ...]:
    return (
        (metric := METRICS[row.metric]).title,
        row.variant,
        quantity(row.a, metric),
        quantity(row.b, metric),
        quantity(row.difference, metric),
        interval(row.low, row.high, metric),
        share(row.better),
        share(row.worse),
    )


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
