"""Observations along a motion, against those of the rollout of `mj_step` that it was taken from."""

import jax
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.inspect_terms import inspect_terms
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.motion_observations import MotionObserver, told_by_a_state
from ksim_cli.mdp.observation_manager import ObservationManager
from ksim_cli.motion.clip import Clip
from ksim_cli.motion.motion_set import make_motion_set
from ksim_cli.registry import ACTUATORS, COMMANDS, OBSERVATIONS
from tests.legged import LEGGED, step_of

register_terms()
KEY = jax.random.key(0)
STATE = {
    "position": {"type": "joint_position"},
    "velocity": {"type": "joint_velocity", "history": 3},
    "late": {"type": "joint_position", "delay": 0.004},
    "lagged": {"type": "delayed_joint_position"},
    "moved": {"type": "base_linear_velocity"},
    "turned": {"type": "base_angular_velocity"},
    "gravity": {"type": "projected_gravity"},
    "feet": {"type": "feet_position", "feet": ["left_foot", "right_foot"]},
    "shanks": {"type": "body_position", "bodies": ["left_shank"]},
    "touching": {"type": "feet_contact", "feet": ["left_foot", "right_foot"]},
    "inertia": {"type": "center_of_mass_inertia"},
}
RATES = {
    "shank_rates": {"type": "body_velocity", "bodies": ["left_shank", "trunk"]},
    "gyro": {"type": "sensor", "sensors": ["gyro"]},
}


def build(**terms):
    """Model and terms, each in the group `style`, of the legged robot."""
    observations = {
        name: OBSERVATIONS.build({"groups": ["style"], **term}, f"observations.{name}")
        for name, term in terms.items()
    }
    commands = {
        "pace": COMMANDS.build({"type": "linear_velocity", "x_range": [0.0, 1.0]}, "commands.pace")
    }
    actuators = {"legs": ACTUATORS.build({"type": "torque"}, "actuators.legs")}
    mdp = Mdp(
        curriculum=Constant(), actuators=actuators, observations=observations, commands=commands
    )
    spec = mujoco.MjSpec.from_string(LEGGED)
    mdp = mdp.edit(spec, {})
    model = spec.compile()
    return model, mdp.bind(model)


def rollout(model, frames=12, substeps=5, seed=0):
    """Steps that fall from the home pose, with random torques: the `MjData` after each."""
    rng = np.random.default_rng(seed)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.qvel[:] = rng.normal(size=model.nv)
    steps = []
    for _ in range(frames):
        data.qfrc_applied[6:] = 5.0 * rng.normal(size=model.nv - 6)
        mujoco.mj_step(model, data, substeps)
        steps.append(mujoco.MjData(model))
        mujoco.mj_copyState(model, data, steps[-1], mujoco.mjtState.mjSTATE_INTEGRATION)
        for name in ("xpos", "xquat", "xmat", "cinert", "cvel", "sensordata", "geom_xpos"):
            getattr(steps[-1], name)[:] = getattr(data, name)
    return steps


def seen_in(model, mdp, steps, noisy=()):
    """`[F, O]` what the manager of the environment gives along the steps of an episode."""
    layout = inspect_terms(model, mdp)
    manager = ObservationManager(mdp.observations, layout, 0.01, 1, noisy)
    stacked = jax.tree.map(lambda *each: np.stack(each)[:, None], *map(step_of, steps))

    def step(carry, step):
        obs, carry = manager(step, carry, KEY)
        return carry, obs["style"][0]

    return jax.jit(lambda steps: jax.lax.scan(step, manager.init(KEY), steps)[1])(stacked)


def motion_of(model, rollouts, fps):
    clips = [
        Clip(str(i), fps, np.array([d.qpos for d in steps]), np.array([d.qvel for d in steps]))
        for i, steps in enumerate(rollouts)
    ]
    return make_motion_set(model, clips, 1.0 / fps)


def observe(model, mdp, rollouts, substeps=5, noisy=()):
    ctrl_dt = substeps * model.opt.timestep
    layout = inspect_terms(model, mdp)
    observer = MotionObserver(model, mdp, layout, ctrl_dt, ["style"], noisy)
    return [obs["style"] for obs in observer(motion_of(model, rollouts, 1.0 / ctrl_dt))]


def test_a_rollout_replayed_gives_what_was_observed():
    """State, what is derived of positions, histories and velocities by differences; two clips."""
    model, mdp = build(**STATE)
    rollouts = [rollout(model), rollout(model, frames=7, seed=1)]
    for steps, seen in zip(rollouts, observe(model, mdp, rollouts), strict=True):
        np.testing.assert_allclose(seen, seen_in(model, mdp, steps), atol=1e-5)


def test_derived_velocities_are_known_where_a_control_step_is_one_physics_step():
    model, mdp = build(**RATES)
    steps = rollout(model, substeps=1)
    (seen,) = observe(model, mdp, [steps], substeps=1)
    # The frame before the first is not known.
    np.testing.assert_allclose(seen[1:], seen_in(model, mdp, steps)[1:], atol=1e-4)


@pytest.mark.parametrize(
    "term",
    [
        *RATES.values(),
        {"type": "action_position"},
        {"type": "timestep"},
        {"type": "command", "command": "pace"},
        {"type": "feet_force", "feet": ["left_foot"]},
        {"type": "actuator_acceleration"},
        {"type": "base_linear_acceleration"},
    ],
    ids=lambda term: term["type"],
)
def test_what_a_motion_does_not_tell_is_refused_by_name(term):
    model, mdp = build(position=STATE["position"], told=term)
    with pytest.raises(UserError, match=r"observations.told: reads what a motion does not tell"):
        observe(model, mdp, [rollout(model, frames=3)])


def test_rk4_does_not_step_as_it_is_undone():
    model, mdp = build(feet=STATE["feet"])
    steps = rollout(model, frames=3)
    assert observe(model, mdp, [steps])[0].shape == (3, 6)
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_RK4
    with pytest.raises(UserError, match=r"observations.feet: reads what a motion does not tell"):
        observe(model, mdp, [steps])


def test_a_noisy_group_sees_a_noisy_motion():
    noisy = STATE["position"] | {"noise": {"type": "additive_uniform", "magnitude": 0.1}}
    model, mdp = build(position=noisy)
    steps = rollout(model, frames=4)
    (clean,) = observe(model, mdp, [steps])
    (seen,) = observe(model, mdp, [steps], noisy=["style", "actor"])
    assert 0.0 < np.abs(seen - clean).max() <= 0.1


def test_what_follows_from_a_state_by_stages():
    model, _ = build(position=STATE["position"])
    fields = ("xpos", "cvel", "qacc", "sensordata", "ctrl", "time")

    def known(stages):
        told = told_by_a_state(model, fields, stages)
        return {name for name in ("qpos", "qvel", *fields) if told[name].all() and told[name].size}

    state = {"qpos", "qvel"}
    assert known(0) == state
    assert known(1) == state | {"xpos"}
    assert known(2) == state | {"xpos", "cvel", "sensordata"}


def test_a_group_without_observations_is_refused():
    model, mdp = build(position=STATE["position"])
    layout = inspect_terms(model, mdp)
    with pytest.raises(UserError, match=r"in the group 'gait'. Groups: style"):
        MotionObserver(model, mdp, layout, 0.01, ["gait"])
