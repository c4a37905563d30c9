"""Environments of the legged robot with any terms, from their sections; and a rollout of them."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli import registry
from ksim_cli.config.components import EngineConfig
from ksim_cli.env import Limits, TaskEnv
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.action_manager import Timing
from ksim_cli.mdp.inspect_terms import inspect_terms
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.stages import staged
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.engines import make_engine
from ksim_cli.physics.model_variants import randomized_models
from ksim_cli.physics.motors import write_motors
from tests.legged import LEGGED

register_terms()
KINDS = {
    "actuators": registry.ACTUATORS,
    "observations": registry.OBSERVATIONS,
    "rewards": registry.REWARDS,
    "terminations": registry.TERMINATIONS,
    "resets": registry.RESETS,
    "commands": registry.COMMANDS,
    "events": registry.EVENTS,
    "randomization": registry.RANDOMIZERS,
}
"""Section of a configuration -> the types that may stand there."""


def make_mdp(curriculum=None, **sections):
    """Terms of sections name -> section; without any, torques and the joints' positions."""
    defaults = {
        "actuators": {"all": {"type": "torque"}},
        "observations": {"joints": {"type": "joint_position"}},
    }
    terms = {
        kind: {
            name: KINDS[kind].build(section, f"{kind}.{name}") for name, section in given.items()
        }
        for kind, given in {**defaults, **sections}.items()
    }
    terms = {
        kind: {name: staged(term, f"{kind}.{name}") for name, term in each.items()}
        for kind, each in terms.items()
    }
    chosen = registry.CURRICULA.build(curriculum or {"type": "constant"}, "curriculum")
    return Mdp(curriculum=chosen, **terms)


def make_env(
    xml=LEGGED, engine="mujoco", num_envs=2, substeps=5, metadata=None, motions=None, **sections
):
    """Environments with the terms of some sections.

    `metadata` is that of the joints, `motions` gives the motions of a model at a control rate.
    """
    spec = mujoco.MjSpec.from_string(xml)
    mdp = make_mdp(**sections).edit(spec, metadata or {}, in_engine=True)
    model = spec.compile()
    write_motors(model, mdp.motors())
    ctrl_dt = substeps * float(model.opt.timestep)
    mdp = mdp.bind(model, motions and motions(model, ctrl_dt))
    layout = inspect_terms(model, mdp)
    variants = None
    if mdp.randomization:
        variants = randomized_models(model, mdp.randomization, num_envs, 0)
    physics = make_engine(
        engine,
        EngineSpec(model, num_envs, layout.fields, variants=variants, num_threads=1, impl="jax"),
    )
    timing = Timing(ctrl_dt=ctrl_dt, num_substeps=substeps, num_updates=substeps)
    return TaskEnv(physics, mdp, layout, timing, EngineConfig(), Limits(), ("actor",))


def rollout(env, steps=6, size=1.0, seed=0):
    """Observations before each step and after the last, results and scores, of random actions."""
    rng = np.random.default_rng(seed)
    shape = (steps, env.num_envs, env.action_size)
    actions = jnp.asarray(size * rng.normal(size=shape), jnp.float32)

    def run(key):
        def step(state, action):
            after, result = env.step(state, action)
            return after, (after.obs, result)

        start = env.begin_rollout(env.init(key))
        _, (obs, results) = jax.lax.scan(step, start, actions)
        _, scores = env.rewards(env.init_rewards(), results)
        obs = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start.obs, obs)
        return obs, results, scores

    return jax.device_get(jax.jit(run)(jax.random.key(seed)))
