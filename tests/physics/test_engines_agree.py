"""Terms from one state on both engines: those of the humanoid, and one of every type.

MJX is slow to compile, so there is one forward pass of each model.
"""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.load_task import make_task
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.engines import make_engine
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import ACTUATORS, OBSERVATIONS, REWARDS, TERMINATIONS
from ksim_cli.task import build_terms
from ksim_cli.task_model import TaskModel
from ksim_cli.types import Step
from tests.helpers import TINY, run_config
from tests.legged import FIELDS, LEGGED
from tests.mdp.observations import sections as observed
from tests.mdp.rewards import sections as rewarded
from tests.mdp.test_terminations import BOUNDARIES

N = 4


@pytest.fixture(scope="module")
def humanoid():
    config = run_config("task=humanoid", *TINY, "iterations=50", "ls_iterations=50")
    return TaskModel(make_task(config))


@pytest.fixture(scope="module")
def legged():
    spec = mujoco.MjSpec.from_string(LEGGED)
    observations = {k: {"type": k, **v[0]} for k, v in observed.SECTIONS.items()}
    rewards = {k: {"type": k, **v} for k, v in rewarded.SECTIONS.items()}
    terminations = {k: {"type": k, **v[0]} for k, v in BOUNDARIES.items()}
    mdp = Mdp(
        curriculum=Constant(),
        actuators={"all": ACTUATORS.build({"type": "torque"}, "actuators.all")},
        observations=build_terms(OBSERVATIONS, observations, "observations"),
        rewards=build_terms(REWARDS, rewards, "rewards"),
        terminations=build_terms(TERMINATIONS, terminations, "terminations"),
    ).edit(spec, {})
    model = spec.compile()
    return model, mdp.bind(model)


def view_after_a_reset(model, mdp, engine, qpos, qvel):
    physics = make_engine(engine, EngineSpec(model, N, frozenset(FIELDS)))

    @jax.jit
    def run():
        prepared = physics.prepare(qpos, qvel, jnp.zeros(N, jnp.int32))
        return physics.view(physics.reset(physics.init(), jnp.ones(N, bool), prepared))

    return run()


def term_values(mdp, view, action_size, told=None):
    """Every observation, reward, termination and error of a command, of all environments."""
    key = jax.random.key(0)

    @jax.jit
    @jax.vmap
    def values(view):
        step = Step(
            view=view,
            action=jnp.zeros(action_size),
            commands={k: jnp.asarray(v, jnp.float32) for k, v in (told or {}).items()},
            time=jnp.float32(0.02),
            termination=jnp.int32(0),
            truncated=jnp.array(False),
            level=jnp.ones(()),
        )
        drawn = {name: t(step, t.init(key), key)[0] for name, t in mdp.commands.items()}
        step = step.replace(commands=step.commands | drawn)
        found = {f"commands.{n}": t.error(step, drawn[n]) for n, t in mdp.commands.items()}
        for kind in ("rewards", "terminations"):
            for name, term in getattr(mdp, kind).items():
                found[f"{kind}.{name}"] = term(step, term.init(key))[0]
        for name, term in mdp.observations.items():
            found[f"observations.{name}"] = term(step, term.init(key), key)[0]
        return found

    return jax.device_get(values(view))


@pytest.mark.slow
def test_terms_have_the_same_values_on_both_engines(humanoid):
    model, mdp = humanoid.model, humanoid.mdp
    rng = np.random.default_rng(0)
    qpos = np.tile(home_pose(model), (N, 1))
    qpos[:, 7:] += rng.uniform(-0.05, 0.05, (N, 21))
    qpos[:, 2] += [-0.004, -0.002, 0.0, 0.3]  # pressed into the ground, and in the air
    qvel = rng.normal(size=(N, model.nv)) * 0.2
    pose = jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32)
    native, mjx = (
        term_values(mdp, view_after_a_reset(model, mdp, engine, *pose), 21)
        for engine in ("mujoco", "mjx")
    )
    assert len(native) >= 20
    agree(native, mjx)


def agree(native, mjx):
    for name, wanted in native.items():
        scale = max(1.0, float(np.abs(wanted).max()))
        assert float(np.abs(mjx[name] - wanted).max()) / scale <= 1e-4, name


@pytest.mark.slow
def test_one_of_every_type_of_observation_reward_and_termination(legged):
    model, mdp = legged
    rng = np.random.default_rng(1)
    qpos = np.tile(home_pose(model), (N, 1))
    qpos[:, 7:] += rng.uniform(-0.02, 0.02, (N, 4))
    qpos[:, 2] += [-0.002, -0.001, 0.0, 0.3]
    qvel = rng.normal(size=(N, model.nv)) * 0.1
    pose = jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32)
    told = observed.COMMANDS | rewarded.COMMANDS
    native, mjx = (
        term_values(mdp, view_after_a_reset(model, mdp, engine, *pose), 4, told)
        for engine in ("mujoco", "mjx")
    )
    assert np.abs(native["observations.feet_force"]).max() > 1.0
    agree(native, mjx)
