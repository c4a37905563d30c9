"""Randomised variants of a model."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

MAX_VARIANTS = 64
"""Most variants of a model where all randomizers act in the same mode."""

MAX_EACH = 16
"""Most draws of each mode where both are used: each start-up draw comes with each reset draw."""


class ModelEdit(Protocol):
    """Edit of a model in place, such as a `ksim_cli.mdp.term.Randomizer`."""

    @property
    def mode(self) -> str:
        """`startup` or `reset`."""
        ...

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """Edits the model."""
        ...


@dataclass(frozen=True)
class ModelVariants:
    """Randomised models, and which environment runs on which.

    Attributes:
        models: `num_startup * num_reset` of them; variant `s * num_reset + r` has start-up draw
            `s` and reset draw `r`.
        num_startup: draws for the run; environment `i` keeps draw `i % num_startup`.
        num_reset: draws for an episode.
    """

    models: Sequence[mujoco.MjModel]
    num_startup: int
    num_reset: int

    def draw(self, key: jax.Array, num_envs: int) -> jax.Array:
        """`[N]` int32 the variant of each environment's next episode."""
        startup = jnp.arange(num_envs, dtype=jnp.int32) % self.num_startup
        reset = jax.random.randint(key, (num_envs,), 0, self.num_reset)
        return startup * self.num_reset + reset

    def differing(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Model field -> `[K, ...]` its values, for the fields in which the variants differ."""
        tables: dict[str, np.ndarray] = {}
        for name in names:
            values = [_field(model, name) for model in self.models]
            if any(not np.array_equal(values[0], value) for value in values[1:]):
                tables[name] = np.stack(values)
        return tables


def randomized_models(
    model: mujoco.MjModel, randomizers: Mapping[str, ModelEdit], num_envs: int, seed: int
) -> ModelVariants:
    """ModelVariants of `model`, each edited by all randomizers in order, from the nominal values.

    Derived constants are recomputed by `mj_setConst`. The same seed gives the same variants, and
    each randomizer draws from a stream of its own.

    Args:
        model: the nominal model; not changed.
        randomizers: name -> what edits a model.
        num_envs: environments; no more start-up draws than that are made.
        seed: root of the random numbers.
    """
    modes = {randomize.mode for randomize in randomizers.values()}
    most = MAX_VARIANTS if len(modes) == 1 else MAX_EACH
    num_startup = min(num_envs, most) if "startup" in modes else 1
    num_reset = most if "reset" in modes else 1
    variants = []
    for startup in range(num_startup):
        for reset in range(num_reset):
            variant = copy.copy(model)
            for name, randomize in randomizers.items():
                draw = startup if randomize.mode == "startup" else reset
                randomize(variant, np.random.default_rng([seed, draw, *name.encode()]))
            mujoco.mj_setConst(variant, mujoco.MjData(variant))
            restore_frames(variant, model)
            variants.append(variant)
    return ModelVariants(models=variants, num_startup=num_startup, num_reset=num_reset)


def restore_frames(variant: mujoco.MjModel, model: mujoco.MjModel) -> None:
    """Restore the `*_sameframe` flags of frames that were not moved; `mj_setConst` clears them.

    The kinematics cost more without them.
    """
    for kind, place in (("body", "i"), ("site", ""), ("geom", "")):
        unmoved = np.ones(getattr(model, f"n{kind}"), bool)
        for name in (f"{kind}_{place}pos", f"{kind}_{place}quat"):
            unmoved &= (getattr(variant, name) == getattr(model, name)).all(axis=1)
        flags = f"{kind}_sameframe"
        getattr(variant, flags)[unmoved] = getattr(model, flags)[unmoved]


def _field(model: mujoco.MjModel, name: str) -> Any:
    holder: Any = model
    for part in name.split("."):
        holder = getattr(holder, part)
    return np.asarray(holder)
