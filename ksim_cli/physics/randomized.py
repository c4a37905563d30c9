"""Randomised variants of a model."""

import copy
from collections.abc import Callable, Mapping

import mujoco
import numpy as np

MAX_VARIANTS = 64
"""Most variants of a model a run uses; environments beyond it share them in turn."""


def randomized_models(
    model: mujoco.MjModel,
    randomizers: Mapping[str, Callable[[mujoco.MjModel, np.random.Generator], None]],
    num_envs: int,
    seed: int,
) -> tuple[mujoco.MjModel, ...]:
    """Variants of `model`, each edited by all randomizers in order, from the nominal values.

    Derived constants are recomputed by `mj_setConst`. The same seed gives the same variants, and
    each randomizer draws from a stream of its own.

    Args:
        model: the nominal model; not changed.
        randomizers: name -> function that edits a model in place.
        num_envs: environments; more variants than that are not made.
        seed: root of the random numbers.
    """
    variants = []
    for i in range(min(num_envs, MAX_VARIANTS)):
        variant = copy.copy(model)
        for name, randomize in randomizers.items():
            stream = [seed, i, *name.encode()]
            randomize(variant, np.random.default_rng(stream))
        mujoco.mj_setConst(variant, mujoco.MjData(variant))
        variants.append(variant)
    return tuple(variants)
