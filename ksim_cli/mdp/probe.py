"""What bound terms read and give, found by calling each once under abstract evaluation."""

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.errors import UserError
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.physics.engine import View, fields_read
from ksim_cli.types import Step


def fields_needed(model: mujoco.MjModel, mdp: Mdp) -> frozenset[str]:
    """Names of the `mjData` fields that the bound terms read."""
    return fields_read(model, lambda view: _call_all(model, mdp, view))


def observation_layout(model: mujoco.MjModel, mdp: Mdp) -> dict[str, dict[str, int]]:
    """group -> observation name -> size, in the order of the group's vector.

    Raises:
        UserError: an observation is not a vector, or a reward not a scalar.
    """
    sizes: dict[str, tuple[int, ...]] = {}
    fields_read(model, lambda view: sizes.update(_call_all(model, mdp, view)))
    layout: dict[str, dict[str, int]] = {"actor": {}, "critic": {}}
    for name, term in mdp.observations.items():
        for group in term.groups:
            layout.setdefault(group, {})[name] = sizes[name][0]
    for group in ("actor", "critic"):
        if not layout[group]:
            raise UserError(f"observations: none is in the group '{group}'")
    return layout


def fields_of_rewards(model: mujoco.MjModel, mdp: Mdp) -> frozenset[str]:
    """Names of the `mjData` fields that the rewards read; `qpos` and `qvel` need not be.

    Raises:
        UserError: a reward is not a scalar.
    """

    def use(view: View) -> None:
        step, key = _probe_step(model, mdp, view), jax.random.key(0)
        for name, term in mdp.rewards.items():
            value, _ = term(step, term.init(key))
            if jnp.shape(value):
                raise UserError(f"rewards.{name}: not a scalar but {jnp.shape(value)}")

    return fields_read(model, use)


def _probe_step(model: mujoco.MjModel, mdp: Mdp, view: View) -> Step:
    size = sum(len(a.joints) for a in mdp.actuators.values())
    zero = jnp.zeros((), jnp.float32)
    step = Step(
        view=view,
        action=jnp.zeros(size),
        commands={},
        time=zero,
        termination=jnp.zeros((), jnp.int32),
        truncated=jnp.zeros((), bool),
        level=zero,
    )
    key = jax.random.key(0)
    commands = {n: t(step, t.init(key), key)[0] for n, t in mdp.commands.items()}
    return step.replace(commands=commands)


def _call_all(model: mujoco.MjModel, mdp: Mdp, view: View) -> dict[str, tuple[int, ...]]:
    """Calls every term once on one environment; returns the observations' shapes."""
    step, key = _probe_step(model, mdp, view), jax.random.key(0)
    for term in [*mdp.rewards.values(), *mdp.terminations.values()]:
        term(step, term.init(key))
    for term in mdp.events.values():
        term(step, term.init(key), key)
    shapes = {}
    for name, term in mdp.observations.items():
        value, _ = term(step, term.init(key), key)
        shapes[name] = jnp.shape(value)
        if len(shapes[name]) != 1:
            raise UserError(f"observations.{name}: not a vector but of shape {shapes[name]}")
    return shapes
