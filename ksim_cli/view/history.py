"""The last seconds of what is shown, as curves."""

import math
from collections.abc import Mapping

import numpy as np


class History:
    """The last values of named numbers in groups.

    Args:
        length: how many are kept.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._rings: dict[tuple[str, str], np.ndarray] = {}
        self._count = 0

    def add(self, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Take one step's numbers: group -> name -> value; what is not finite leaves a gap."""
        place = self._count % self._length
        for group, values in groups.items():
            for name, value in values.items():
                ring = self._rings.get((group, name))
                if ring is None:
                    ring = self._rings[group, name] = np.full(self._length, np.nan)
                ring[place] = value if math.isfinite(value) else math.nan
        self._count += 1

    def clear(self) -> None:
        """Forget everything."""
        self._rings.clear()
        self._count = 0

    def curves(self) -> dict[str, dict[str, np.ndarray]]:
        """Group -> name -> `[K]` copies, the newest value at the end."""
        shown = min(self._count, self._length)
        order = np.arange(self._count - shown, self._count) % self._length
        curves: dict[str, dict[str, np.ndarray]] = {}
        for (group, name), ring in self._rings.items():
            curves.setdefault(group, {})[name] = ring[order]
        return curves
