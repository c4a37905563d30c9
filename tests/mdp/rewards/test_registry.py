"""What holds for every registered reward: on the legged robot, kicked about on both feet."""

from functools import partial

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.reward_manager import RewardManager
from ksim_cli.mdp.term import Reward
from ksim_cli.registry import ACTUATORS, REWARDS
from ksim_cli.types import Marker, StepResult
from tests.legged import LEGGED, step_of
from tests.mdp.rewards.sections import COMMANDS, KERNELS, SECTIONS
from tests.motion.motions import of_motions

register_terms()
T, N = 30, 2
FAILS = T - 1
ENDS = (11, 12)
"""Step at which the episode of each environment ends."""


@pytest.fixture(scope="module")
def played():
    """All rewards bound to the robot, and `[T, N]` results of a real simulation with two ends."""
    spec = mujoco.MjSpec.from_string(LEGGED)
    terms = {
        name: REWARDS.build({"type": name, **section}, f"rewards.{name}")
        for name, section in SECTIONS.items()
    }
    mdp = Mdp(
        curriculum=Constant(),
        actuators={"all": ACTUATORS.build({"type": "torque"}, "actuators.all")},
        rewards=terms,
    ).edit(spec, {})
    model = spec.compile()
    mdp = mdp.bind(model)
    rng = np.random.default_rng(0)
    steps, done = [], np.zeros((T, N), bool)
    done[ENDS, range(N)] = True
    for _ in range(N):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        own = []
        for t in range(T):
            action = rng.normal(size=4).astype(np.float32)
            data.ctrl[:] = 3.0 * action - 20.0 * data.qpos[7:] - data.qvel[6:]
            mujoco.mj_step(model, data, 10)
            told = {"action": jnp.asarray(action), "time": jnp.float32(0.02 * t)}
            own.append(step_of(data, COMMANDS, termination=jnp.int32(-(t == FAILS)), **told))
        steps.append(jax.tree.map(lambda *x: jnp.stack(x), *own))
    steps = jax.tree.map(lambda *x: jnp.stack(x, axis=1), *steps)
    nothing = jnp.zeros((T, N), jnp.int32)
    results = StepResult(
        steps=steps,
        terminated=jnp.asarray(done),
        truncated=nothing > 0,
        quarantined=nothing,
        causes={},
        distance=jnp.zeros((T, N)),
        final_obs={},
        overflow=nothing > 0,
    )
    return mdp, results


@pytest.fixture(scope="module")
def score(played):
    """Scores results in pieces; what has the same length is compiled once."""
    mdp, _ = played
    manager = RewardManager(mdp.rewards, mdp.commands, N)
    return partial(scores_of, manager, jax.jit(manager))


def scores_of(manager, run, results, cuts=()):
    carry, parts = manager.fresh(), []
    for start, end in zip((0, *cuts), (*cuts, T), strict=True):
        carry, scores = run(carry, jax.tree.map(lambda x, a=start, b=end: x[a:b], results))
        parts.append(scores.components)
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def test_every_reward_is_tried_here():
    others = {"cartpole_balance", *of_motions(REWARDS)}
    assert set(REWARDS.names()) - others == set(SECTIONS)
    assert set(SECTIONS) > KERNELS


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [(1,), (5, 10, 11, 12, 13, 14, 15, 20, 25), tuple(range(1, T))])
def test_a_cut_changes_no_reward(played, score, cuts):
    _, results = played
    whole, pieces = score(results), score(results, cuts=cuts)
    for name in SECTIONS:
        np.testing.assert_array_equal(whole[name], pieces[name], err_msg=name)


def test_a_new_episode_knows_nothing_of_the_last(played, score):
    _, results = played
    whole = score(results)
    for env, end in enumerate(ENDS):
        # What follows the end of an episode is what a trajectory that begins there gives.
        rest = jax.tree.map(lambda x, k=end + 1: jnp.concatenate([x[k:], x[:k]]), results)
        fresh = score(rest.replace(terminated=jnp.zeros((T, N), bool)))
        for name in SECTIONS:
            got, wanted = whole[name][end + 1 :, env], fresh[name][: T - end - 1, env]
            np.testing.assert_array_equal(got, wanted, err_msg=name)


def test_every_value_is_finite_and_in_its_range(played, score):
    for name, values in score(played[1]).items():
        assert np.isfinite(values).all(), name
        assert values.any(), f"{name} is never anything but zero: the robot does not show it"
        if name in KERNELS:
            assert (values >= 0).all() and (values <= 1).all(), name
        elif name != "feet_air_time":
            assert (values >= 0).all(), name


def test_weights_and_scales_multiply(played):
    _, results = played
    terms = {
        "one": REWARDS.build({"type": "upright"}, "r"),
        "scaled": REWARDS.build({"type": "upright", "weight": -3.0, "scale": "quadratic"}, "r"),
    }
    spec = mujoco.MjSpec.from_string(LEGGED)
    both = Mdp(curriculum=Constant(), rewards=terms).edit(spec, {}).bind(spec.compile())
    half = results.replace(steps=results.steps.replace(level=jnp.full((T, N), 0.5)))
    manager = RewardManager(both.rewards, both.commands, N)
    run = jax.jit(manager)
    values = scores_of(manager, run, half)
    np.testing.assert_allclose(values["scaled"], -3.0 * 0.25 * values["one"], rtol=1e-6)
    np.testing.assert_array_equal(values["one"], scores_of(manager, run, results)["one"])


def test_markers_are_shapes_with_places(played):
    mdp, results = played
    one = jax.tree.map(lambda x: x[3, 0], results.steps)
    shown = {name for name, term in mdp.rewards.items() if term.markers(one)}
    assert shown == {"linear_velocity", "position_tracking"}
    for name in shown:
        for marker in mdp.rewards[name].markers(one):
            assert isinstance(marker, Marker) and marker.position.shape == (3,)
            assert np.isfinite(marker.size).all()
    assert Reward.markers(mdp.rewards["torque"], one) == ()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "joint_deviation", "joints": ["knee"]}, "no hinge or slide joint 'knee'"),
        ({"type": "flat_body", "bodies": ["foot"]}, "no body 'foot'.*left_foot"),
        ({"type": "feet_slip", "feet": ["toes"]}, "no body .or geom. 'toes'"),
        ({"type": "feet_slip", "feet": ["left_shank"]}, "no geom of 'left_shank' collides"),
        ({"type": "position_tracking", "target": "hand", "command": "x"}, "no site or body 'hand'"),
        ({"type": "upright", "body": "chest"}, "no body 'chest'"),
        (
            {"type": "joint_deviation", "joint_weights": {"ankle": 1.0}},
            "no joint of this term 'ankle'",
        ),
    ],
)
def test_unknown_names_are_refused(section, message):
    with pytest.raises(UserError, match=message):
        spec = mujoco.MjSpec.from_string(LEGGED)
        term = REWARDS.build(section, "rewards.x")
        Mdp(curriculum=Constant(), rewards={"x": term}).edit(spec, {}).bind(spec.compile())


@pytest.mark.parametrize(
    "section",
    [
        {"type": "linear_velocity", "sigma": 0.0},
        {"type": "linear_velocity", "abs_scale": -0.1},
        {"type": "flat_body", "bodies": ["trunk"], "plane": [0.0, 0.0, 0.0]},
        {"type": "stay_alive", "balance": 0.0},
        {"type": "posture", "std": {"*": 0.0}},
        {"type": "posture", "std": 0.1, "walking_threshold": 2.0},
        {"type": "feet_swing_height", "feet": ["left_foot"], "height": 0.0},
        {"type": "torque", "norm": "l3"},
        {"type": "joint_limits", "factor": 1.2},
        {"type": "base_height_range", "low": 1.0, "high": 0.5},
        {"type": "pairwise_symmetry", "pairs": [["a", "b"]], "signs": [1, 1]},
    ],
)
def test_impossible_parameters_are_refused(section):
    with pytest.raises(UserError, match=r"rewards\.x"):
        REWARDS.build(section, "rewards.x")
