"""Bias, noise, delay and history of an observation, on the joints of the legged robot."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.load_task import load_task
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.inspect_terms import Layout
from ksim_cli.mdp.noise import AdditiveGaussian
from ksim_cli.mdp.observation_manager import Channel, ObservationManager
from ksim_cli.mdp.term import Observation
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.task_model import TaskModel
from tests.helpers import run_config, tiny_cartpole
from tests.legged import bound, posed, step_of
from tests.point import DT, steps_of

register_terms()
KEY = jax.random.key(0)


def build(kind, **changes):
    return bound(OBSERVATIONS.build({"type": kind, **changes}, "observations.x"))


def run(term, values, level=1.0, key=KEY, size=4, dt=0.02):
    """Clean and noisy values of a channel over steps whose joints stand at some angles."""
    channel = Channel(term=term, size=size, ctrl_dt=dt)
    carry, out = channel.init(key), []
    _, model = build("joint_position")
    for i, angle in enumerate(values):
        data = posed(model, [0, 0, 0.5, 1, 0, 0, 0, *[angle] * 4])
        step = step_of(data, level=jnp.float32(level))
        clean, noisy, carry = channel(step, carry, jax.random.fold_in(key, i))
        out.append((np.asarray(clean), np.asarray(noisy)))
    assert out[0][0].size == out[0][1].size == size * term.history
    return out


def test_history_is_oldest_first_and_begins_with_the_first_value():
    term, _ = build("joint_position", joints=["left_hip"], history=3)
    seen = [clean.tolist() for clean, _ in run(term, [0.1, 0.2, 0.3, 0.4], size=1)]
    wanted = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.2], [0.1, 0.2, 0.3], [0.2, 0.3, 0.4]]
    np.testing.assert_allclose(seen, wanted, rtol=1e-6)


def test_delay_is_of_the_actor_only_and_comes_with_its_history():
    # 0.05 s of 0.02 s: two and a half steps, rounded to even.
    term, _ = build("joint_position", joints=["left_hip"], delay=0.04, history=2)
    out = run(term, [0.1, 0.2, 0.3, 0.4, 0.5], size=1)
    np.testing.assert_allclose(out[-1][0], [0.4, 0.5], rtol=1e-6)
    np.testing.assert_allclose(out[-1][1], [0.2, 0.3], rtol=1e-6)
    half = run(term, [0.1, 0.2, 0.3, 0.4, 0.5], level=0.5, size=1)
    np.testing.assert_allclose(half[-1][1], [0.3, 0.4], rtol=1e-6)


def test_delay_is_drawn_once_per_episode_from_its_range():
    term, _ = build("joint_position", joints=["left_hip"], delay=[0.0, 0.06])
    late = set()
    for seed in range(25):
        out = run(term, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], key=jax.random.key(seed), size=1)
        steps = [round(float((c - n)[0]) * 10) for c, n in out[3:]]
        assert len(set(steps)) == 1
        late |= set(steps)
    assert late == {0, 1, 2, 3}


def draws(level=1.0, **changes):
    """Noisy minus clean values of many channels `[episodes, steps, 4]`."""
    term, model = build("joint_position", **changes)
    channel = Channel(term=term, size=4, ctrl_dt=0.02)
    step = step_of(posed(model), level=jnp.float32(level))

    def episode(key):
        def body(carry, i):
            clean, noisy, carry = channel(step, carry, jax.random.fold_in(key, i))
            return carry, noisy - clean

        return jax.lax.scan(body, channel.init(key), jnp.arange(20))[1]

    return np.asarray(jax.jit(jax.vmap(episode))(jax.random.split(KEY, 1000)))


def test_the_noisy_twin_has_the_declared_statistics():
    noise = {"type": "additive_gaussian", "std": 0.2}
    fresh = draws(noise=noise)
    np.testing.assert_allclose(fresh.std(axis=(0, 1)), 0.2, rtol=0.02)
    np.testing.assert_allclose(fresh.mean(axis=(0, 1)), 0.0, atol=0.01)
    assert abs(np.corrcoef(fresh[:, 0, 0], fresh[:, 1, 0])[0, 1]) < 0.1
    np.testing.assert_allclose(draws(level=0.5, noise=noise), 0.5 * fresh, atol=1e-6)


def test_a_bias_is_constant_in_an_episode_and_zero_on_average():
    bias = draws(bias={"type": "additive_uniform", "magnitude": 0.3})
    assert (bias == bias[:, :1]).all()
    np.testing.assert_allclose(bias[:, 0].std(axis=0), 0.3 / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(bias[:, 0].mean(axis=0), 0.0, atol=0.03)
    both = draws(
        bias={"type": "additive_gaussian", "std": 0.3},
        noise=[
            {"type": "additive_gaussian", "std": 0.4},
            {"type": "additive_uniform", "magnitude": 0},
        ],
    )
    np.testing.assert_allclose(both.std(axis=(0, 1)), 0.5, rtol=0.05)


@dataclass(frozen=True, kw_only=True)
class Position(Observation):
    """The position of the point."""

    def __call__(self, step, carry, key):
        return step.view.qpos, carry


@dataclass(frozen=True, kw_only=True)
class Seconds(Observation):
    def __call__(self, step, carry, key):
        return step.time[None], carry


def manager(noisy_groups, num_envs=3, **terms):
    groups = {group for term in terms.values() for group in term.groups}
    sizes = {name: 2 if isinstance(term, Position) else 1 for name, term in terms.items()}
    layout = Layout(
        fields=frozenset(),
        reward_fields=frozenset(),
        sizes=sizes,
        groups={g: {n: sizes[n] for n, t in terms.items() if g in t.groups} for g in groups},
        commands={},
        command_shapes={},
    )
    return ObservationManager(terms, layout, DT, num_envs, noisy_groups)


def test_groups_are_concatenated_in_declared_order():
    terms = {"time": Seconds(groups=("b",)), "x": Position(groups=("a", "b"))}
    three = manager((), **terms)
    steps = steps_of(3)
    steps = steps.replace(view=steps.view.replace(qpos=jnp.arange(6.0).reshape(3, 2)))
    obs, carry = three(steps, three.init(KEY), KEY)
    assert obs["a"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert obs["b"].tolist() == [[DT, 0, 1], [DT, 2, 3], [DT, 4, 5]]
    assert carry.keys() == terms.keys()


@pytest.mark.parametrize("noisy", [(), ("student",), ("student", "teacher")])
def test_only_noisy_groups_see_noise_and_they_see_the_same(noisy):
    term = Position(noise=AdditiveGaussian(std=1.0), groups=("student", "teacher"))
    three = manager(noisy, x=term)
    obs, _ = three(steps_of(3), three.init(KEY), KEY)
    for group, values in obs.items():
        assert (values != 0).all() == (group in noisy)
    if len(noisy) == 2:
        np.testing.assert_array_equal(obs["student"], obs["teacher"])
        assert len(np.unique(obs["student"])) == 6, "every element draws for itself"


def test_a_noisy_group_without_observations_is_refused_unless_it_is_a_default_one():
    term = Position(groups=("student",))
    manager(("actor",), x=term)
    with pytest.raises(UserError, match=r"noisy_groups: no .* group 'pupil'\. Groups: student"):
        manager(("pupil",), x=term)


def test_noisy_groups_are_configuration():
    observations = {
        "x": {"type": "joint_velocity", "noise": {"type": "additive_gaussian", "std": 1}}
    }
    config = dataclasses.replace(tiny_cartpole("noisy_groups=[critic]"), observations=observations)
    env = TaskModel(load_task("cartpole")(config)).make_env(4)
    obs = jax.jit(env.init)(KEY).obs
    assert np.abs(obs["actor"]).max() < 0.2, "the pole's speed when an episode begins"
    assert np.abs(obs["critic"]).max() > 0.5
    assert run_config("task=cartpole").noisy_groups == ["actor"]
