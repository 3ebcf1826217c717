"""A page of photographs whose labels stand beside their truth, both drawn alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from zeroguide.evaluate.datasets import Regions, Sample
from zeroguide.evaluate.reports.drawing import truth_labeling
from zeroguide.result import Labeling

STYLE = """
body { font: 16px/1.4 sans-serif; margin: 2em auto; max-width: 1400px; padding: 0 1em }
.pair { display: flex; gap: 8px; align-items: flex-start; flex-wrap: wrap }
.pair img { flex: 1 1 320px; min-width: 0; max-width: 100% }
"""


@dataclass(frozen=True)
class Card:
    """One photograph of the page; `regions` are the truth, `notes` a line each."""

    title: str
    notes: Sequence[str]
    sample: Sample
    labeling: Labeling
    regions: Regions


def write_page(folder: Path, title: str, cards: Iterable[Card]) -> None:
    """Write folder/index.html, and the pictures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title>"]
    parts.append(f"<style>{STYLE}</style><h1>{escape(title)}</h1><p>Labels left, truth right.</p>")
    for place, card in enumerate(cards, start=1):
        truth = truth_labeling(card.sample.dataset, card.sample.open_image(), card.regions)
        pictures = []
        for kind, labeling in (("labels", card.labeling), ("truth", truth)):
            file = f"{place:02d}-{kind}.jpg"
            labeling.overlay().save(folder / file, quality=90)
            pictures.append(f'<img src="{file}" alt="{kind}">')
        parts.append(f"<h2>{place}. {escape(card.title)}</h2>")
        parts.extend(f"<p>{escape(note)}</p>" for note in card.notes)
        parts.append(f"<div class=pair>{''.join(pictures)}</div>")
    (folder / "index.html").write_text("\n".join(parts) + "\n", encoding="utf-8")
