"""What bound terms read and give, found by calling each once under abstract evaluation."""

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.errors import UserError
from ksim_cli.mdp.mdp import Mdp, error_context
from ksim_cli.physics.engine import View, fields_read
from ksim_cli.types import Step


def fields_needed(model: mujoco.MjModel, mdp: Mdp) -> frozenset[str]:
    """Names of the `mjData` fields that the bound terms read."""
    return fields_read(model, lambda view: _call_all(model, mdp, view))


def observation_sizes(model: mujoco.MjModel, mdp: Mdp) -> dict[str, int]:
    """observation name -> elements of its value, without history.

    Raises:
        UserError: an observation is not a vector.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    fields_read(model, lambda view: shapes.update(_call_all(model, mdp, view)))
    return {name: shape[0] for name, shape in shapes.items()}


def observation_layout(model: mujoco.MjModel, mdp: Mdp) -> dict[str, dict[str, int]]:
    """group -> observation name -> elements with history, in the order of the group's vector.

    Raises:
        UserError: an observation is not a vector, or a group that networks need is empty.
    """
    sizes = observation_sizes(model, mdp)
    layout: dict[str, dict[str, int]] = {"actor": {}, "critic": {}}
    for name, term in mdp.observations.items():
        for group in term.groups:
            layout.setdefault(group, {})[name] = sizes[name] * term.history
    for group in ("actor", "critic"):
        if not layout[group]:
            raise UserError(f"observations: none is in the group '{group}'")
    return layout


def fields_scored(model: mujoco.MjModel, mdp: Mdp) -> frozenset[str]:
    """Names of the `mjData` fields that rewards and errors of commands read.

    Raises:
        UserError: a reward is not a scalar.
    """

    def use(view: View) -> None:
        step, key = _probe_step(model, mdp, view), jax.random.key(0)
        step = step.replace(zero_offset=None)
        for name, term in mdp.rewards.items():
            with error_context(f"rewards.{name}"):
                value, _ = term(step, term.init(key))
            if jnp.shape(value):
                raise UserError(f"rewards.{name}: not a scalar but {jnp.shape(value)}")
        for name, term in mdp.commands.items():
            term.error(step, step.commands[name])

    return fields_read(model, use)


def _probe_step(model: mujoco.MjModel, mdp: Mdp, view: View) -> Step:
    size = sum(a.action_size for a in mdp.actuators.values())
    zero = jnp.zeros((), jnp.float32)
    step = Step(
        view=view,
        action=jnp.zeros(size),
        commands={},
        time=zero,
        termination=jnp.zeros((), jnp.int32),
        truncated=jnp.zeros((), bool),
        level=zero,
        zero_offset=jnp.zeros(model.nq),
    )
    key = jax.random.key(0)
    commands = {}
    for name, term in mdp.commands.items():
        with error_context(f"commands.{name}"):
            commands[name] = term(step, term.init(key), key)[0]
    return step.replace(commands=commands)


def _call_all(model: mujoco.MjModel, mdp: Mdp, view: View) -> dict[str, tuple[int, ...]]:
    """Calls every term once on one environment; returns the observations' shapes."""
    step, key = _probe_step(model, mdp, view), jax.random.key(0)
    for name, reward in mdp.rewards.items():
        with error_context(f"rewards.{name}"):
            reward(step.replace(zero_offset=None), reward.init(key))
    for name, termination in mdp.terminations.items():
        with error_context(f"terminations.{name}"):
            termination(step, termination.init(key))
    for name, event in mdp.events.items():
        with error_context(f"events.{name}"):
            event(step, event.init(key), key)
    for name, command in mdp.commands.items():
        command.error(step, step.commands[name])
    shapes = {}
    for name, term in mdp.observations.items():
        with error_context(f"observations.{name}"):
            value, _ = term(step, term.init(key), key)
        shapes[name] = jnp.shape(value)
        if len(shapes[name]) != 1:
            raise UserError(f"observations.{name}: not a vector but of shape {shapes[name]}")
    return shapes
