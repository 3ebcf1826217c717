"""Class ids as masks hold them -> class indices; one sentence about an id that isn't listed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.metrics.overlap import VOID


@dataclass(frozen=True)
class Lookup:
    """Class ids as a data set's masks hold them -> class indices.

    Attributes:
        indices: id -> class index, or -1 for an id that means void.
        others_void: whether ids that aren't listed are void too, instead of an error.
    """

    indices: dict[int, int]
    others_void: bool = False
    _table: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        unknown = VOID if self.others_void else VOID - 1
        table = np.full(max(self.indices) + 2, unknown, dtype=np.int32)
        table[list(self.indices)] = list(self.indices.values())
        object.__setattr__(self, "_table", table)

    def __call__(self, ids: np.ndarray, path: Path) -> np.ndarray:
        """(H, W) ids >= 0 -> (H, W) int32 class indices.

        Raises ZeroguideError: not whole numbers, a negative id, or one that isn't listed.
        """
        if ids.dtype.kind not in "bui":
            raise ZeroguideError(
                f"{path}: holds {ids.dtype} numbers where class ids belong; save the ids as whole "
                "numbers."
            )
        if ids.min(initial=0) < 0:
            raise ZeroguideError(
                f"{path}: holds the class id {ids.min()}, and none is below 0; mark void as this "
                "data set does."
            )
        # Every id beyond the table shares its last row, which no listed id uses.
        indices: np.ndarray = self._table[np.minimum(ids, len(self._table) - 1)]
        unknown = indices < VOID
        if unknown.any():
            raise ZeroguideError(
                f"{path}: holds the class id {ids[unknown].min()}, which this data set's class "
                "list doesn't have; check that masks and data set belong together."
            )
        return indices
