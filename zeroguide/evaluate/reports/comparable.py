"""May two runs be compared? The same images and truth, and numbers of the same judge."""

from __future__ import annotations

from zeroguide.errors import UsageError
from zeroguide.evaluate.reports.views import needs_sentences
from zeroguide.evaluate.scoring.results import PROTOCOLS, Results, Value


def require_same_images(a: Results, b: Results) -> list[str]:
    """Notes on images of one run alone; UsageError unless one run's are among the other's."""
    for what, one, other in (
        ("data set", a.dataset.name, b.dataset.name),
        ("split", a.dataset.split, b.dataset.split),
        ("number of classes", a.dataset.n_classes, b.dataset.n_classes),
    ):
        if one != other:
            raise UsageError(
                f"a's {what} is {one} and b's is {other}: compare runs on the same images."
            )
    first, second = ({row.name for row in results.images} for results in (a, b))
    if first - second and second - first:
        raise UsageError(
            f"images in a alone: {len(first - second)}, in b alone: {len(second - first)}; compare "
            "runs on the same images."
        )
    for larger, extra, n in (("a", first - second, len(second)), ("b", second - first, len(first))):
        if extra:
            return [f"compared on the images in both: {n}; {larger} has {len(extra)} more"]
    return []


def require_same_truth(a: Results, b: Results) -> None:
    """UsageError for classes of other names, or of other sizes in the same images.

    Where the two runs have scored different images, sizes say nothing.
    """
    alike = {row.name for row in a.scored} == {row.name for row in b.scored}
    for ours, theirs in zip(a.classes, b.classes, strict=False):
        if ours.name != theirs.name:
            raise UsageError(
                f"a's class {ours.name} is {theirs.name} in b: compare runs with the same class "
                "list."
            )
        if alike and ours.pixels != theirs.pixels:
            raise UsageError(
                f"the class {ours.name} has {ours.pixels:,} true pixels in a and "
                f"{theirs.pixels:,} in b, so their truths differ (in size, crop or version): "
                "evaluate both on the same data."
            )


def shared_numbers(a: Results, b: Results, notes: list[str]) -> list[tuple[Value, Value]]:
    """The numbers of one protocol, metric, variant and judge; UsageError if there are none.

    notes: takes what is left out, and why.
    """
    theirs = {(value.protocol, value.key): value for value in b.summary}
    pairs = [
        (value, theirs[value.protocol, value.key])
        for value in a.summary
        if (value.protocol, value.key) in theirs
    ]
    if not pairs:
        protocols = (", ".join(dict.fromkeys(v.protocol for v in r.summary)) for r in (a, b))
        raise UsageError(
            "the runs share no number (protocols of a: {}; of b: {}): numbers of two protocols "
            "aren't compared, so evaluate both with the same --protocol.".format(*protocols)
        )
    keys = {pair[0].key for pair in pairs}
    for name, results in (("a", a), ("b", b)):
        alone = [PROTOCOLS[v.protocol].title for v in results.summary if v.key not in keys]
        if alone:
            notes.append(f"{name} alone has more numbers of: {'; '.join(dict.fromkeys(alone))}")
    if a.sentence_encoder != b.sentence_encoder:
        kept = [pair for pair in pairs if not needs_sentences(pair[0].key)]
        reason = (
            f"a's sentence encoder is {a.sentence_encoder} and b's is {b.sentence_encoder}, "
            "so text-to-text numbers aren't compared"
        )
        if not kept:
            raise UsageError(f"{reason}: evaluate both with the same --sentence-encoder.")
        if len(kept) < len(pairs):
            notes.append(reason)
        pairs = kept
    one, other = _clip(a), _clip(b)
    if one != other:
        kept = [pair for pair in pairs if pair[0].metric not in ("clip_score", "ref_clip_score")]
        if len(kept) < len(pairs):
            notes.append(f"a's CLIP is {one} and b's is {other}, so CLIPScores aren't compared")
        pairs = kept
        if any(value.protocol == "st" or value.variant == "ST" for value, _ in pairs):
            notes.append(
                f"segment-to-text numbers are judged by each run's own CLIP: {one}, {other}"
            )
        if not pairs:
            raise UsageError(f"{notes[-1]}, and the runs share no other number.")
    return pairs


def _clip(results: Results) -> str:
    """The CLIP that a run's own numbers are judged by, as far as results.json says."""
    models = (results.source.recipe or {}).get("models")
    clip = models.get("clip") if isinstance(models, dict) else None
    return str(clip or "unknown")
