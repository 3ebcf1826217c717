"""What is said of a segment, and of a result, beside the label."""

from __future__ import annotations

from importlib.metadata import version

from zeroguide.result.named_map import NamedMap
from zeroguide.result.overlay.drawing import format_share
from zeroguide.result.segment import Segment


def describe(labeling: NamedMap, segment: Segment) -> list[str]:
    """What is to be said of a segment beside its label, phrase by phrase."""
    share = format_share(segment.area / labeling.label_map.size)
    others = ", ".join(label for label, _ in segment.alternatives)
    said = [how_sure(labeling, segment), f"{share} of the picture"]
    return [*said, f"or {others}"] if others else said


def how_sure(labeling: NamedMap, segment: Segment) -> str:
    """The confidence in words, or that somebody gave the name."""
    by_hand = labeling.recipe.get("edits", {}).get("named_by_hand", ())
    if segment.id in by_hand:
        return "named by hand"
    return f"{round(100 * segment.confidence)} % sure"


def made_by(labeling: NamedMap) -> str:
    """What made the labels: "zeroguide 1.0, recipe photo"."""
    made = labeling.recipe.get("versions", {}).get("zeroguide", version("zeroguide"))
    recipe = labeling.recipe.get("name")
    return f"zeroguide {made}, recipe {recipe}" if recipe else f"zeroguide {made}"
