"""A point mass whose environments can be worked out by hand, and terms that show the batching.

1 kg on two slides without friction or gravity: v += dt * force, then x += dt * v. Times and
forces are such that float32 is exact.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.config.components import EngineConfig
from ksim_cli.env import Limits, TaskEnv
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.action_manager import Timing
from ksim_cli.mdp.actuators import Actuator, Torque
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.inspect_terms import inspect_terms
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.noise import AdditiveGaussian
from ksim_cli.mdp.observations.joints import JointPosition
from ksim_cli.mdp.term import (
    Command,
    Curriculum,
    Disturbance,
    Event,
    Observation,
    Reset,
    Reward,
    Termination,
)
from ksim_cli.physics.engine import EngineSpec, View
from ksim_cli.physics.engines import make_engine
from ksim_cli.types import Step

register_terms()
DT = 0.5
POINT = f"""
<mujoco>
  <option timestep="{DT}" gravity="0 0 0"/>
  <worldbody>
    <body name="point">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <geom size="0.1" mass="1"/>
    </body>
  </worldbody>
</mujoco>
"""
NOISE = AdditiveGaussian(std=1.0)


@dataclass(frozen=True, kw_only=True)
class Spring(Actuator):
    """Pulls to the action's position."""

    feedback: ClassVar[bool] = True

    def __call__(self, action, joints, carry):
        return action - joints.position, carry


@dataclass(frozen=True, kw_only=True)
class Damper(Spring):
    """Pushes, and brakes."""

    def __call__(self, action, joints, carry):
        return action - joints.velocity, carry


@dataclass(frozen=True, kw_only=True)
class Growing(Spring):
    """The force is 1 N at the first physics step of an episode, 2 N at the second, ..."""

    def init(self, key):
        return jnp.zeros(())

    def __call__(self, action, joints, carry):
        return jnp.full(len(self.joints), carry + 1.0), carry + 1.0


@dataclass(frozen=True, kw_only=True)
class PlaceAt(Reset):
    at: tuple[float, float] = (1.0, 0.0)

    def __call__(self, pose, key, level):
        return pose.replace(qpos=jnp.array(self.at))


@dataclass(frozen=True, kw_only=True)
class LevelPlace(Reset):
    def __call__(self, pose, key, level):
        return pose.replace(qpos=pose.qpos.at[0].set(level))


@dataclass(frozen=True, kw_only=True)
class SeeAction(Observation):
    def __call__(self, step, carry, key):
        return step.action, carry


@dataclass(frozen=True, kw_only=True)
class Calls(Observation):
    """How often it was asked in this episode."""

    def init(self, key):
        return jnp.zeros(1)

    def __call__(self, step, carry, key):
        return carry + 1.0, carry + 1.0


@dataclass(frozen=True, kw_only=True)
class Broken(Observation):
    """The position, but not a number right of x = 1."""

    def __call__(self, step, carry, key):
        x = step.view.qpos[:1]
        return jnp.where(x > 1.0, jnp.nan, x), carry


@dataclass(frozen=True, kw_only=True)
class Random(Observation):
    """A new number at every step."""

    def __call__(self, step, carry, key):
        return jax.random.normal(key, (1,)), carry


@dataclass(frozen=True, kw_only=True)
class Draw(Command):
    """A new number at every step."""

    def __call__(self, step, carry, key):
        return jax.random.normal(key, (1,)), carry


@dataclass(frozen=True, kw_only=True)
class SeeCommand(Observation):
    def __call__(self, step, carry, key):
        return step.commands["draw"], carry


@dataclass(frozen=True, kw_only=True)
class WhenTold(Termination):
    """Ends the episodes whose first action is above 10."""

    code: int = -1

    def __call__(self, step, carry):
        return jnp.where(step.action[0] > 10.0, self.code, 0), carry


@dataclass(frozen=True, kw_only=True)
class CutWhenTold(WhenTold):
    truncates: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Third(Termination):
    """Counts its own calls and fails at the third of an episode."""

    def init(self, key):
        return jnp.zeros((), jnp.int32)

    def __call__(self, step, carry):
        return jnp.where(carry == 2, -1, 0), carry + 1


@dataclass(frozen=True, kw_only=True)
class Push(Event):
    """Adds 1, 2, 3, ... m/s within an episode."""

    axis: int = 1

    def init(self, key):
        return jnp.zeros(())

    def __call__(self, step, carry, key):
        change = jnp.zeros(2).at[self.axis].set(carry + 1.0)
        return Disturbance(velocity=change), carry + 1.0


@dataclass(frozen=True, kw_only=True)
class Upwards(Curriculum):
    def initial_level(self):
        return 0.25

    def init(self, key):
        return jnp.zeros(())

    def __call__(self, level, statistics, carry):
        return jnp.minimum(level + 0.5 + carry, 1.0), carry + 0.125


@dataclass(frozen=True, kw_only=True)
class Height(Reward):
    def __call__(self, step, carry):
        return step.view.xpos[1, 2] + step.level, carry


def steps_of(num_envs, **changes):
    """Steps of N points at rest at zero, as the managers see them."""
    n = num_envs
    steps = Step(
        view=View({"qpos": jnp.zeros((n, 2)), "qvel": jnp.zeros((n, 2))}),
        action=jnp.zeros((n, 2)),
        commands={},
        time=jnp.full(n, DT),
        termination=jnp.zeros(n, jnp.int32),
        truncated=jnp.zeros(n, bool),
        level=jnp.ones(n),
        ctrl_dt=DT,
    )
    return steps.replace(**changes)


def make(
    num_envs=1,
    substeps=1,
    engine=None,
    limits=None,
    noisy_groups=("actor",),
    physics="mujoco",
    **terms,
):
    """The point with some terms; `engine` and `limits` are keys of EngineConfig and Limits."""
    spec = mujoco.MjSpec.from_string(POINT)
    defaults = {
        "curriculum": Constant(),
        "actuators": {"all": Torque()},
        "observations": {"position": JointPosition()},
    }
    mdp = Mdp(**{**defaults, **terms}).edit(spec, {})
    model = spec.compile()
    mdp = mdp.bind(model)
    layout = inspect_terms(model, mdp)
    spec = EngineSpec(model, num_envs, layout.fields, num_threads=1, impl="jax")
    physics = make_engine(physics, spec)
    config = EngineConfig(**(engine or {}))
    updates = substeps
    if config.actuator_update_dt is not None:
        updates = round(substeps * DT / config.actuator_update_dt)
    timing = Timing(ctrl_dt=substeps * DT, num_substeps=substeps, num_updates=updates)
    limits = Limits(**(limits or {}))
    return TaskEnv(physics, mdp, layout, timing, config, limits, noisy_groups)


def play(env, actions, key=0):
    """Results `[T, N]`, and the observations before each step and after the last."""
    actions = jnp.asarray(actions, jnp.float32)
    if actions.ndim == 2:
        actions = actions[:, None]

    def run(key):
        def step(state, action):
            after, result = env.step(state, action)
            return after, (result, after.obs)

        state = env.begin_rollout(env.init(key))
        _, (results, after) = jax.lax.scan(step, state, actions)
        return results, jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), state.obs, after)

    return jax.device_get(jax.jit(run)(jax.random.key(key)))


def positions(results):
    return results.steps.view.qpos[:, 0].tolist()


def at_fault(env, results):
    """`[T, N]` names of what each environment was quarantined for; empty: it was not."""
    return [[("", *env.suspects)[i] for i in row] for row in results.quarantined.tolist()]
