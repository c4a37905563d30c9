"""Models of other libraries, and of none, returned by a task's `get_model`: they train or play."""

import json

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.run.commands import TINY, course, ksim, rewound

COMMON = """
from dataclasses import dataclass

import equinox
import jax
import jax.numpy as jnp
from flax import linen

from ksim_cli import REWARDS, TASKS, Reward
from ksim_cli.models.distributions import DiagonalNormal
from ksim_cli.models.policy import ActionSample, PPOVariables
from ksim_cli.tasks.cartpole import CartPole


class Own(CartPole):
    \"\"\"Overrides what is asked of a model that `answer` gives mean, log deviation and value of.\"\"\"

    def get_initial_model_carry(self, model, num_envs):
        return ()

    def sample_action(self, model, obs, carry, key, argmax):
        normal, _ = self.judge(model, obs)
        return ActionSample(normal.mode() if argmax else normal.sample(key))

    def get_ppo_variables(self, model, obs, action, carry):
        normal, value = self.judge(model, obs)
        return PPOVariables(normal.log_prob(action), value, normal.entropy())

    def judge(self, model, obs):
        mean, log_std, value = self.answer(model, obs)
        return DiagonalNormal(mean, jnp.broadcast_to(jnp.exp(log_std), mean.shape)), value
"""
TASKS = {
    "linen_pole": """
class Net(linen.Module):
    @linen.compact
    def __call__(self, obs):
        hidden = linen.tanh(linen.Dense(32)(obs["actor"]))
        log_std = self.param("log_std", linen.initializers.zeros, (1,))
        value = linen.Dense(1)(linen.tanh(linen.Dense(32)(obs["critic"])))
        return linen.Dense(1)(hidden), log_std, value[:, 0]


@TASKS.register("linen_pole")
class LinenPole(Own):
    def get_model(self, observation_sizes, action_size, key):
        return Net()

    def answer(self, model, obs):
        return model(obs)
""",
    "equinox_pole": """
class Net(equinox.Module):
    actor: equinox.nn.MLP
    critic: equinox.nn.MLP
    log_std: jax.Array

    def __init__(self, size, action_size, key):
        one, two = jax.random.split(key)
        self.actor = equinox.nn.MLP(size, action_size, 32, 1, jnp.tanh, key=one)
        self.critic = equinox.nn.MLP(size, "scalar", 32, 1, jnp.tanh, key=two)
        self.log_std = jnp.zeros(action_size)


@TASKS.register("equinox_pole")
class EquinoxPole(Own):
    def get_model(self, observation_sizes, action_size, key):
        return Net(observation_sizes["actor"], action_size, key)

    def answer(self, model, obs):
        actor, critic = jax.vmap(model.actor), jax.vmap(model.critic)
        return actor(obs["actor"]), model.log_std, critic(obs["critic"])
""",
    "dict_pole": """
@TASKS.register("dict_pole")
class DictPole(Own):
    def get_model(self, observation_sizes, action_size, key):
        one, two = jax.random.split(key)
        return {
            "hidden": 0.7 * jax.random.normal(one, (observation_sizes["actor"], 32)),
            "actor": jnp.zeros((32, action_size)),
            "critic": 0.2 * jax.random.normal(two, (32,)),
            "log_std": jnp.zeros(action_size),
        }

    def answer(self, model, obs):
        hidden = jnp.tanh(obs["actor"] @ model["hidden"])
        return hidden @ model["actor"], model["log_std"], hidden @ model["critic"]
""",
}
STATIC = """
@REWARDS.register("little_push")
@dataclass(frozen=True, kw_only=True)
class LittlePush(Reward):
    \"\"\"What the controller says of its push.\"\"\"

    def __call__(self, step, carry):
        return -step.aux["push"], carry


class Balance:
    def __init__(self):
        self.gains = jnp.array([0.1, 0.0, 3.0, 0.2, 0.8])


@TASKS.register("static_pole")
class StaticPole(CartPole):
    def get_model(self, observation_sizes, action_size, key):
        return Balance()

    def sample_action(self, model, obs, carry, key, argmax):
        action = (obs["actor"] @ model.gains)[:, None]
        return ActionSample(action, aux={"push": jnp.abs(action[:, 0])})
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A project with a task for each kind of model."""
    folder = tmp_path_factory.mktemp("models")
    for name, text in {**TASKS, "static_pole": STATIC}.items():
        for path in (folder / "tasks", folder / "configs" / "task"):
            path.mkdir(parents=True, exist_ok=True)
        (folder / "tasks" / f"{name}.py").write_text(COMMON + "\n" + text)
        reward = "rewards: {push: {type: little_push, weight: 0.01}}\n" if text == STATIC else ""
        (folder / "configs" / "task" / f"{name}.yaml").write_text(
            f"# @package _global_\ndefaults: [cartpole, _self_]\n{reward}"
        )
    return folder


def parameters(run, step):
    """Path -> array of what is trained, as a checkpoint holds it."""
    arrays = load_file(run / "checkpoints" / f"{step:08d}" / "policy.safetensors")
    return {name: array for name, array in arrays.items() if "/params/" in name}


@pytest.mark.parametrize("name", TASKS)
def test_a_model_of_any_library_trains_resumes_and_is_evaluated(own, name):
    tiny = [f"task={name}" if key.startswith("task=") else key for key in TINY]
    straight, halves = f"{name}-straight", f"{name}-halves"
    typed = (*tiny, "num_iterations=3", "save_every_n_steps=2", f"run_dir={straight}")
    ksim("train", *typed, cwd=own, check=0)
    rewound(own / straight, own / halves, 2)
    done = ksim("train", f"resume={halves}", cwd=own, check=0)
    assert "resumed at iteration 2" in done.stdout
    one, two = course(own / straight), course(own / halves)
    assert one == two
    assert all(row["grad_norm"] > 0 and row["skipped_updates"] == 0 for row in one)
    before, after = (parameters(own / straight, step) for step in (2, 3))
    assert len(before) >= 4 and before.keys() == after.keys()
    assert all((after[name] != before[name]).any() for name in before), "each is trained"
    ksim("eval", f"checkpoint={halves}", "num_episodes=2", cwd=own, check=0)
    evaluated = json.loads((own / halves / "eval.json").read_text())["episode_return_mean"]
    summary = json.loads((own / straight / "summary.json").read_text())
    assert evaluated == summary["eval_return_mean"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linen_pole", "equinox_pole"])
def test_a_model_of_any_library_learns_the_cart_pole(own, name):
    """One of a module, and one of a pytree, which a dict is too."""
    where = f"run_dir={name}-learned"
    ksim("train", f"task={name}", "max_env_steps=600000", where, cwd=own, check=0)
    summary = json.loads((own / f"{name}-learned" / "summary.json").read_text())
    assert summary["eval_return_mean"] >= 500


def test_a_controller_without_anything_to_learn_plays(own):
    typed = ("task=static_pole", "policy=initial")
    done = ksim("eval", *typed, "num_episodes=2", cwd=own, check=0)
    evaluated = json.loads((own / "eval.json").read_text())
    assert evaluated["episode_return_mean"] >= 950, done.stdout
    ksim("collect", *typed, *TINY[1:4], "dataset_save_path=data", cwd=own, check=0)
    with h5py.File(own / "data" / "data" / "main_data.hdf5") as file:
        episode = file["episode_0"]
        push = episode["infos/aux/push"][:]
        np.testing.assert_array_equal(push, np.abs(episode["actions"][:, 0]))
        np.testing.assert_allclose(episode["infos/reward/push"][:], -0.01 * push, rtol=1e-6)
    done = ksim("train", "task=static_pole", cwd=own, check=2)
    assert "get_model gives a Balance, which holds nothing to learn" in done.stderr
    done = ksim("eval", "task=static_pole", "policy=zero", "num_episodes=2", cwd=own, check=0)
