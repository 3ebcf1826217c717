"""axe-core, the accessibility checker, on a page in the browser."""

from __future__ import annotations

from typing import Any

import pytest


def serious(tab: Any) -> list[str]:
    """What axe finds serious or critical in a page as it is now: one line each."""
    axe = pytest.importorskip(
        "axe_core_python.sync_playwright", reason="no axe: pip install zeroguide[web-dev]"
    )
    tab.evaluate(  # colours are measured: not in the middle of a transition
        """Promise.all(document.getAnimations()
            .filter((one) => one.effect.getComputedTiming().iterations !== Infinity)
            .map((one) => one.finished.catch(() => {})))"""
    )
    return [
        f"{found['impact']}: {found['help']}: {found['nodes'][0]['html'][:300]}"
        for found in axe.Axe().run(tab)["violations"]
        if found["impact"] in ("serious", "critical")
    ]
