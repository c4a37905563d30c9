"""All terms of one task, together: edited into a model, then bound to it."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import jax
import mujoco

from ksim_cli.errors import UserError
from ksim_cli.mdp.actuators import Actuator
from ksim_cli.mdp.term import (
    Command,
    Curriculum,
    Event,
    Noise,
    Observation,
    Randomizer,
    Reset,
    Reward,
    Term,
    Termination,
)
from ksim_cli.registry import NOISES


@dataclass(frozen=True, kw_only=True)
class Mdp:
    """The terms of a task by kind and name.

    Attributes:
        curriculum: what moves the level.
        noises: observation name -> its noises, built from the observation's `noise`.
    """

    curriculum: Curriculum
    actuators: Mapping[str, Actuator] = field(default_factory=dict)
    observations: Mapping[str, Observation] = field(default_factory=dict)
    rewards: Mapping[str, Reward] = field(default_factory=dict)
    terminations: Mapping[str, Termination] = field(default_factory=dict)
    resets: Mapping[str, Reset] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)
    events: Mapping[str, Event] = field(default_factory=dict)
    randomizers: Mapping[str, Randomizer] = field(default_factory=dict)
    noises: Mapping[str, tuple[Noise, ...]] = field(default_factory=dict)

    def edit(self, spec: mujoco.MjSpec) -> Self:
        """Lets every term add to the model; returns the terms with default joints written out.

        Raises:
            UserError: a term is not content with the model, or two actuators drive one joint.
        """
        actuators = {name: a.resolve(spec) for name, a in self.actuators.items()}
        driven: dict[str, str] = {}
        for name, actuator in actuators.items():
            for joint in actuator.joints:
                if joint in driven:
                    raise UserError(
                        f"actuators.{name}: joint '{joint}' is driven by actuators.{driven[joint]}"
                        f" already. Give each of them its own `joints`"
                    )
                driven[joint] = name
        edited = replace(self, actuators=actuators)
        for where, term in edited.each():
            _at(where, term.edit, spec)
        return edited

    def bind(self, model: mujoco.MjModel) -> Self:
        """All terms bound to a compiled model, and the observations' noises built.

        Raises:
            UserError: a name that the model does not have, under the config path of its term.
        """
        bound: dict[str, Any] = {}
        for kind in fields(self):
            group = getattr(self, kind.name)
            if kind.name in ("curriculum", "noises"):
                continue
            bound[kind.name] = {
                name: _at(f"{kind.name}.{name}", term.bind, model) for name, term in group.items()
            }
        noises = {name: _noises(name, term) for name, term in self.observations.items()}
        curriculum = _at("curriculum", self.curriculum.bind, model)
        return replace(self, curriculum=curriculum, noises=noises, **bound)

    def each(self) -> list[tuple[str, Term]]:
        """Config path and term of every term."""
        kinds = [f.name for f in fields(self) if f.name not in ("curriculum", "noises")]
        terms = [(f"{k}.{n}", t) for k in kinds for n, t in getattr(self, k).items()]
        return [*terms, ("curriculum", self.curriculum)]


def named_key(key: jax.Array, *names: str) -> jax.Array:
    """A random key of one's own: `key` folded with each name, whatever else draws from it."""
    for name in names:
        key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return key


def _at(where: str, function: Any, argument: Any) -> Any:
    try:
        return function(argument)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _noises(name: str, term: Observation) -> tuple[Noise, ...]:
    if term.noise is None:
        return ()
    sections = term.noise if isinstance(term.noise, list | tuple) else [term.noise]
    return tuple(NOISES.build(s, f"observations.{name}.noise") for s in sections)
