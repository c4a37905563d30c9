"""Randomised variants of a model."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import batch

from ksim_cli.errors import UserError, error_context
from ksim_cli.physics.model_checks import complaint

MAX_VARIANTS = 64
"""Most variants of a model where all randomizers act in the same mode."""

MAX_EACH = 16
"""Most draws of each mode where both are used: each start-up draw comes with each reset draw."""

VARIED = tuple(sorted(batch.MODEL_FIELDS))
"""Fields in which variants may differ: all but meshes, textures, height fields and skins."""


class ModelEdit(Protocol):
    """Edit of a model in place, such as a `ksim_cli.mdp.term.Randomizer`."""

    @property
    def mode(self) -> str:
        """`startup` or `reset`."""
        ...

    def without_effect(self, model: mujoco.MjModel) -> str:
        """Words for what it cannot change of the model; empty where there is nothing."""
        ...

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """Edits the model."""
        ...


@dataclass(frozen=True)
class ModelVariants:
    """Randomised models, and which environment runs on which.

    Variant `s * num_reset + r` has start-up draw `s` and reset draw `r`. Only what they do not have
    of the nominal model is held.

    Attributes:
        nominal: the model that they are variants of.
        tables: field, of `VARIED`, -> `[K, ...]` its values, where a variant differs from the
            nominal model.
        num_startup: draws for the run; environment `i` keeps draw `i % num_startup`.
        num_reset: draws for an episode.
        warnings: what randomizers were to change and cannot, led by their config paths.
    """

    nominal: mujoco.MjModel
    tables: Mapping[str, np.ndarray]
    num_startup: int
    num_reset: int
    warnings: Sequence[str] = ()

    def __len__(self) -> int:
        return self.num_startup * self.num_reset

    def draw(self, key: jax.Array, num_envs: int) -> jax.Array:
        """`[N]` int32 the variant of each environment's next episode."""
        startup = jnp.arange(num_envs, dtype=jnp.int32) % self.num_startup
        reset = jax.random.randint(key, (num_envs,), 0, self.num_reset)
        return startup * self.num_reset + reset

    def values(self, name: str) -> np.ndarray:
        """`[K, ...]` a field's values; of one that is not varied `[1, ...]`, the nominal ones."""
        table = self.tables.get(name)
        return _Fields(self.nominal)[name][None] if table is None else table

    def models(self) -> Iterator[mujoco.MjModel]:
        """Each variant in turn, all in one and the same object."""
        model = copy.copy(self.nominal)
        fields = _Fields(model)
        for i in range(len(self)):
            for name, table in self.tables.items():
                fields[name] = table[i]
            yield model


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

    Raises:
        UserError: a variant has a number that is not finite or that MuJoCo's compiler would refuse,
            or a randomizer changes what all variants share, or nothing of what it names.
    """
    modes = {randomize.mode for randomize in randomizers.values()}
    most = MAX_VARIANTS if len(modes) == 1 else MAX_EACH
    num_startup = min(num_envs, most) if "startup" in modes else 1
    num_reset = most if "reset" in modes else 1
    drawing = _Drawing(model, randomizers, seed)
    warnings = drawing.warnings()
    rows = [
        drawing({"startup": startup, "reset": reset})
        for startup in range(num_startup)
        for reset in range(num_reset)
    ]
    drawing.refuse_changed_assets()
    tables = drawing.nominal.stacked(rows)
    return ModelVariants(model, tables, num_startup, num_reset, warnings)


class _Drawing:
    """Draws variants in one scratch copy of the model.

    Args:
        model: the nominal model.
        randomizers: name -> what edits it.
        seed: root of the random numbers.
    """

    def __init__(
        self, model: mujoco.MjModel, randomizers: Mapping[str, ModelEdit], seed: int
    ) -> None:
        self.nominal = _Fields(model)
        self._model, self._randomizers, self._seed = model, randomizers, seed
        self._scratch = copy.copy(model)
        self._fields = _Fields(self._scratch)
        self._data = mujoco.MjData(model)

    def warnings(self) -> list[str]:
        """What randomizers cannot change, each asked when its turn comes in the first variant."""
        said: list[str] = []
        for name, randomize in self._randomizers.items():
            with error_context(f"randomization.{name}"):
                text = randomize.without_effect(self._scratch)
            said += [f"randomization.{name}: {text}"] if text else []
            self._edit(name, {"startup": 0, "reset": 0})
        self._restore(self.nominal.changed(self._fields))
        return said

    def __call__(self, draws: Mapping[str, int]) -> dict[str, np.ndarray]:
        """The fields of one variant that differ from the nominal ones.

        Args:
            draws: mode -> number of the draw.
        """
        for name in self._randomizers:
            self._edit(name, draws)
        mujoco.mj_resetData(self._scratch, self._data)
        mujoco.mj_setConst(self._scratch, self._data)
        restore_frames(self._scratch, self._model)
        changed = self.nominal.changed(self._fields)
        self._restore(changed)
        if complaint(self._model, changed):
            self._blame(draws, changed)
        return changed

    def refuse_changed_assets(self) -> None:
        """Refuses edits of what variants share; they were never undone, so any is still there."""
        for name in sorted({*dir(self._model)} - {*VARIED}):
            value = None if name.startswith("_") else getattr(self._model, name)
            if isinstance(value, np.ndarray) and not _same(value, getattr(self._scratch, name)):
                raise UserError(
                    f"randomization: a randomizer changes '{name}', which all environments share."
                    " Meshes, textures and height fields cannot be randomised"
                )

    def _edit(self, name: str, draws: Mapping[str, int]) -> None:
        randomize = self._randomizers[name]
        generator = np.random.default_rng([self._seed, draws[randomize.mode], *name.encode()])
        with error_context(f"randomization.{name}"):
            randomize(self._scratch, generator)

    def _restore(self, changed: Mapping[str, np.ndarray]) -> None:
        for name in changed:
            self._fields[name] = self.nominal[name]

    def _blame(self, draws: Mapping[str, int], derived: Mapping[str, np.ndarray]) -> None:
        """Makes a bad variant once more and names the first randomizer that spoils it.

        Raises:
            UserError: always.
        """
        for name in self._randomizers:
            self._edit(name, draws)
            changed = self.nominal.changed(self._fields)
            if text := complaint(self._model, changed):
                self._restore(changed)
                raise UserError(f"randomization.{name}: {text}")
        names = ", ".join(self._randomizers)
        raise UserError(
            f"randomization: with {names} the model cannot move: {complaint(self._model, derived)}"
        )


class _Fields:
    """The varied fields of a model by name, as arrays."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._live = {name: self._array(name) for name in VARIED}
        self._scalars = [name for name in VARIED if isinstance(self._value(name), int | float)]

    def __getitem__(self, name: str) -> np.ndarray:
        """A field's values now; a view of the model where it is an array."""
        return self._array(name) if name in self._scalars else self._live[name]

    def __setitem__(self, name: str, value: np.ndarray) -> None:
        """Write a field."""
        if name in self._scalars:
            holder, _, attribute = name.partition(".")
            setattr(getattr(self._model, holder), attribute, value.item())
        else:
            self._live[name][...] = value

    def changed(self, other: "_Fields") -> dict[str, np.ndarray]:
        """Copies of the fields in which another model of these sizes differs from this one."""
        pairs = ((name, self[name], other[name]) for name in VARIED)
        return {name: theirs.copy() for name, ours, theirs in pairs if not _same(ours, theirs)}

    def stacked(self, rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Field -> `[K, ...]` its values in K models, each given by what differs from this one."""
        names = [name for name in VARIED if any(name in row for row in rows)]
        return {name: np.stack([row.get(name, self[name]) for row in rows]) for name in names}

    def _array(self, name: str) -> np.ndarray:
        value = np.asarray(self._value(name))
        if name == "bvh_aabb":  # the bodies' boxes; those of the meshes follow
            return value[: int(self._model.body_bvhnum.sum())]
        return value

    def _value(self, name: str) -> Any:
        holder: Any = self._model
        for part in name.split("."):
            holder = getattr(holder, part)
        return holder


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one == other).all())


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
