"""Windows: overlapping quarters of an image, in which small segments have more tokens."""

from __future__ import annotations

import math

from zeroguide.clip.extents import Box

# A segment of 4 % of the image has 8 of the 196 tokens of a ViT-B/16: below that most of them lie
# on its border and show its neighbours as much. In a window it has four times as many.
SMALL = 0.04


def window_boxes(height: int, width: int) -> list[Box]:
    """3 x 3 windows of half the image's sides, each half over the next."""
    h, w = math.ceil(height / 2), math.ceil(width / 2)
    corners = [((height - h) * i // 2, (width - w) * j // 2) for i in range(3) for j in range(3)]
    return [Box(top, left, top + h, left + w) for top, left in corners]


def best_window(box: Box, height: int, width: int) -> Box | None:
    """The window that shows all of a segment, the one with its middle nearest; or None.

    Args:
        box: the segment's bounding box.
    """

    def off_centre(window: Box) -> float:
        down = (box.top + box.bottom - window.top - window.bottom) / height
        across = (box.left + box.right - window.left - window.right) / width
        return down**2 + across**2

    whole = [
        window
        for window in window_boxes(height, width)
        if window.top <= box.top
        and window.left <= box.left
        and box.bottom <= window.bottom
        and box.right <= window.right
    ]
    return min(whole, key=off_centre, default=None)
