"""The networks and distributions, through the command and through a task."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.load_task import load_task
from ksim_cli.models.distributions import NormalMixture
from ksim_cli.rl.algorithm import make_player
from ksim_cli.rl.rollout import PolicyState, play, replay
from ksim_cli.task import Task
from ksim_cli.task_model import TaskModel
from tests.helpers import tiny_cartpole
from tests.run.commands import TINY, course, ksim, rewound, rows


@pytest.mark.slow
def test_a_recurrent_run_resumes_with_its_memories_and_is_evaluated(tmp_path):
    model = ("model=gru", "model.hidden_size=8", "model.num_layers=2")
    typed = (*TINY, *model, "num_iterations=4", "save_every_n_steps=2", "run_dir=straight")
    ksim("train", *typed, cwd=tmp_path, check=0)
    rewound(tmp_path / "straight", tmp_path / "halves", 2)
    done = ksim("train", "resume=halves", cwd=tmp_path, check=0)
    assert "resumed at iteration 2" in done.stdout
    one, two = course(tmp_path / "straight"), course(tmp_path / "halves")
    assert len(one) == 4 and all(row["grad_norm"] > 0 for row in one)
    assert one == two
    ksim("eval", "checkpoint=halves", "num_episodes=2", cwd=tmp_path, check=0)
    assert len(json.loads((tmp_path / "halves" / "eval.json").read_text())["episode_returns"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("distribution", ["tanh_normal", "mixture"])
def test_each_distribution_trains(tmp_path, distribution):
    chosen = (
        f"model.distribution={distribution}",
        "model.num_mixtures=3",
        "algo.entropy_coef=0.01",
    )
    ksim("train", *TINY, *chosen, "num_iterations=2", "run_dir=run", cwd=tmp_path, check=0)
    for row in rows(tmp_path / "run"):
        assert row["skipped_updates"] == 0 and row["grad_norm"] > 0
        assert np.isfinite(row["entropy"])


def test_a_deviation_that_could_not_move_is_refused_before_anything_is_compiled(tmp_path):
    done = ksim("train", *TINY, "model.init_std=5e-4", cwd=tmp_path, check=2)
    assert "model.init_std=0.0005: must be above model.min_std=0.001" in done.stderr
    assert not list(tmp_path.glob("runs/*/*/metrics.jsonl"))


class Halved(Task):
    """Acts half as hard as the policy says, and says so to the loss."""

    def get_mujoco_model(self):
        return load_task("cartpole")(self.config).get_mujoco_model()

    def sample_action(self, model, obs, carry, key, argmax):
        sample = super().sample_action(model, obs, carry, key, argmax)
        return sample.replace(action=sample.action / 2)

    def get_ppo_variables(self, model, obs, action, carry):
        return super().get_ppo_variables(model, obs, action * 2, carry)


def test_a_task_may_override_what_a_recurrent_policy_learns_from():
    load_task("cartpole")
    config = tiny_cartpole("model=gru", "model.hidden_size=8", "model.distribution=mixture")
    task_model = TaskModel(Halved(config))
    policy, env = task_model.policy, task_model.make_env(4)
    assert policy.recurrent
    assert not TaskModel(Halved(tiny_cartpole())).policy.recurrent
    player = make_player(task_model.algorithm, task_model.make_context(env, 5))

    def run(key):
        variables = policy.init(key)
        state = PolicyState(variables, (), jnp.ones(()))
        _, rollout = play(player, state, player.start(key), key, 5)
        stored = (rollout.obs, rollout.action, rollout.carry, rollout.was_reset)
        return rollout, replay(policy, variables, *stored)

    rollout, now = jax.jit(run)(jax.random.key(0))
    np.testing.assert_allclose(now.log_prob, rollout.record.log_prob, atol=1e-5)
    np.testing.assert_allclose(now.value, rollout.record.value, atol=1e-5)
    obs = jax.tree.map(lambda x: x[0], rollout.obs)
    model = policy.adapter.merge(policy.init(jax.random.key(0)))
    got, _ = model.action_distribution(obs, policy.initial_carry(4))
    assert isinstance(got, NormalMixture) and got.mean.shape == (4, 1, 5)
    assert jnp.isfinite(got.entropy()).all()
