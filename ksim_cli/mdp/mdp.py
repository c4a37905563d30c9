"""All terms of one task, together: edited into a model, then bound to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import mujoco

from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError, error_context
from ksim_cli.mdp.actuators import Actuator
from ksim_cli.mdp.motion_term import MotionTerm
from ksim_cli.mdp.stages import Staged, fill_in, first_stage
from ksim_cli.mdp.term import (
    ActionTerm,
    Command,
    Curriculum,
    Event,
    Observation,
    Randomizer,
    Reset,
    Reward,
    Term,
    Termination,
)
from ksim_cli.motion.motion_set import MotionSet
from ksim_cli.physics.motors import Motor


@dataclass(frozen=True, kw_only=True)
class Mdp:
    """The terms of a task by kind and name.

    Attributes:
        curriculum: what moves the level.
    """

    curriculum: Curriculum
    actuators: Mapping[str, Actuator] = field(default_factory=dict)
    observations: Mapping[str, Observation] = field(default_factory=dict)
    rewards: Mapping[str, Reward] = field(default_factory=dict)
    terminations: Mapping[str, Termination] = field(default_factory=dict)
    resets: Mapping[str, Reset] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)
    events: Mapping[str, Event] = field(default_factory=dict)
    randomization: Mapping[str, Randomizer] = field(default_factory=dict)

    @property
    def suspects(self) -> tuple[str, ...]:
        """What may be at fault in a step that is not finite, what comes first before the rest."""

        def of(kind: str) -> list[str]:
            return [f"{kind}.{name}" for name in getattr(self, kind)]

        driven = (*of("events"), *of("actuators"), "physics", "view", *of("terminations"))
        return (*of("resets"), "action", *driven, *of("commands"), *of("observations"))

    def edit(
        self,
        spec: mujoco.MjSpec,
        metadata: Mapping[str, JointMetadata],
        in_engine: bool = False,
    ) -> Self:
        """Lets every term add to the model; returns the terms with default joints written out.

        Args:
            spec: the model before it is compiled.
            metadata: joint name -> what is known of the joint.
            in_engine: leave to the engine what actuators can leave to it.

        Raises:
            UserError: a term is not content with the model, or two actuators drive one joint.
        """
        actuators = {}
        for name, actuator in self.actuators.items():
            with error_context(f"actuators.{name}"):
                resolved = actuator.resolve(spec, metadata)
            actuators[name] = resolved.in_engine() if in_engine else resolved
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
            with error_context(where):
                term.edit(spec)
        return edited

    def motors(self) -> dict[str, Motor]:
        """joint -> what acts on it in the engine, of all actuators.

        Raises:
            UserError: a parameter of an actuator names a joint that it does not drive.
        """
        motors: dict[str, Motor] = {}
        for name, actuator in self.actuators.items():
            with error_context(f"actuators.{name}"):
                motors |= actuator.motors()
        return motors

    def bind(self, model: mujoco.MjModel, motions: MotionSet | None = None) -> Self:
        """All terms bound to a compiled model.

        Args:
            model: the model.
            motions: its reference motions, for the terms that follow them; None: there are none.

        Raises:
            UserError: a name that the model does not have, under the config path of its term.
        """
        bound: dict[str, Any] = {}
        size = sum(actuator.action_size for actuator in self.actuators.values())
        for where, term in self.each():
            kind, _, name = where.partition(".")
            with error_context(where):
                bound_term = fill_in(term, MotionTerm, motions=motions).bind(model)
            term = fill_in(bound_term, ActionTerm, action_size=size)
            if name:
                bound.setdefault(kind, {})[name] = term
            else:
                bound[kind] = term
        return replace(self, **bound)

    @property
    def has_stages(self) -> bool:
        """Whether a term changes in stages."""
        return any(isinstance(term, Staged) for _, term in self.each())

    @property
    def follows_motions(self) -> bool:
        """Whether a term follows the reference motions."""
        return any(isinstance(first_stage(term), MotionTerm) for _, term in self.each())

    def each(self) -> list[tuple[str, Term]]:
        """Config path and term of every term."""
        kinds = [f.name for f in fields(self) if f.name != "curriculum"]
        terms = [(f"{k}.{n}", t) for k in kinds for n, t in getattr(self, k).items()]
        return [*terms, ("curriculum", self.curriculum)]
