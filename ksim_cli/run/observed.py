"""What is suspicious in observations, seen while training starts."""

from collections.abc import Iterator, Mapping

import numpy as np

from ksim_cli.run.sanity import Finding

Observed = Mapping[str, np.ndarray]
Layout = Mapping[str, Mapping[str, int]]


def constant_observations(before: Observed, after: Observed, layout: Layout) -> list[Finding]:
    """Observations that are one and the same in all environments at two moments.

    Args:
        before: group -> `[N, O]`.
        after: the same some steps later.
        layout: group -> observation -> its elements, in the order of the group's vector.
    """
    both = {group: np.concatenate([before[group], after[group]]) for group in layout}
    same: dict[str, bool] = {}
    for name, part in _parts(both, layout):
        same[name] = same.get(name, True) and bool((part == part[0]).all())
    return [
        Finding(f"observations.{name} is always the same", f"observations.{name}=null")
        for name, is_so in same.items()
        if is_so
    ]


def _parts(obs: Observed, layout: Layout) -> Iterator[tuple[str, np.ndarray]]:
    """Name and `[N, D]` of each observation in each group."""
    for group, sizes in layout.items():
        ends = np.cumsum([*sizes.values()])[:-1]
        yield from zip(sizes, np.split(obs[group], ends, axis=1), strict=True)
