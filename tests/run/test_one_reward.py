"""The reward that is viewed and recorded is the one that is trained on, for every registered reward.

Training scores whole rollouts, a dataset is scored batch by batch, a view step by step; episodes end
where they like. Each must give what scoring the trajectory in one piece gives.
"""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from ksim_cli.load_task import make_task
from ksim_cli.rl.rollout import Player, PolicyState, play, random_policy
from ksim_cli.task_model import TaskModel
from tests.helpers import run_config
from tests.legged import LEGGED
from tests.mdp.rewards.sections import COMMANDS, SECTIONS
from tests.run.commands import ksim

NUM_ENVS = 3
KICKED = {
    "defaults": [{"override /actuators": "torque"}, "_self_"],
    **{"ctrl_dt": 0.02, "dt": 0.002, "num_envs": NUM_ENVS, "batch_size": NUM_ENVS},
    **{"rollout_length_frames": 8, "stagger_episodes": False, "reward_limit": 1e30},
    "observations": {"joints": {"type": "joint_position"}},
    "terminations": {
        "low": {"type": "minimum_height", "height": 0.42},
        "time_limit": {"type": "episode_length", "max_length_seconds": 0.3},
    },
    "resets": {"joints": {"type": "random_joint_position", "scale": 0.2}},
    "commands": {
        name: {"type": "float_vector", "ranges": [[x, x + 0.1] for x in values]}
        for name, values in COMMANDS.items()
    },
    "rewards": {name: {"type": name, **section} for name, section in SECTIONS.items()},
}


@pytest.fixture(scope="module")
def kicked(tmp_path_factory):
    """A project whose task has every reward."""
    folder = tmp_path_factory.mktemp("kicked")
    (folder / "tasks").mkdir()
    (folder / "configs" / "task").mkdir(parents=True)
    (folder / "tasks" / "kicked.xml").write_text(LEGGED)
    text = yaml.safe_dump(KICKED, sort_keys=False)
    (folder / "configs" / "task" / "kicked.yaml").write_text(f"# @package _global_\n{text}")
    return folder


@pytest.fixture(scope="module")
def player(kicked):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(kicked)
        task_model = TaskModel(make_task(run_config("task=kicked")))
    env = task_model.make_env(NUM_ENVS)
    return Player(env, random_policy(env.action_size))


@pytest.fixture(scope="module")
def programs(player):
    """What begins an episode and a rollout, and scores a trajectory in one piece."""
    env = player.env
    return jax.jit(player.start), jax.jit(env.begin_rollout), jax.jit(env.rewards)


@pytest.mark.parametrize(("count", "length"), [(1, 32), (4, 8), (32, 1)])
def test_borders_of_rollouts_and_of_episodes_change_no_reward(player, programs, count, length):
    env, state = player.env, PolicyState((), (), jnp.ones(()))
    start, begin_rollout, rewards = programs
    step = jax.jit(lambda playing, key: play(player, state, playing, key, length))
    playing, parts = start(jax.random.key(0)), []
    for i in range(count):
        playing = playing.replace(env=begin_rollout(playing.env))
        playing, experience = step(playing, jax.random.fold_in(jax.random.key(1), i))
        parts.append(experience)
    results = jax.tree.map(lambda *x: jnp.concatenate(x), *(part.results for part in parts))
    played = jax.tree.map(lambda *x: jnp.concatenate(x), *(part.scores for part in parts))
    assert (results.done.sum(axis=0) >= 2).all(), "episodes end within the trajectory"
    _, whole = rewards(env.init_rewards(), results)
    assert set(played.components) == set(SECTIONS)
    for name, values in played.components.items():
        np.testing.assert_allclose(values, whole.components[name], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(played.total, whole.total, rtol=1e-5)


def test_a_dataset_holds_what_its_actions_are_worth(kicked):
    """`action_velocity` of four batches of eight, anew from the recorded actions."""
    typed = ("task=kicked", "policy=random", "dataset_num_batches=4", "dataset_save_path=data")
    ksim("collect", *typed, cwd=kicked, check=0)
    steps = 0
    with h5py.File(kicked / "data" / "data" / "main_data.hdf5") as file:
        for episode in file.values():
            action, infos = episode["actions"][:], episode["infos"]
            change = np.diff(action, axis=0, prepend=action[:1])
            wanted = np.square(change).mean(axis=1)
            np.testing.assert_allclose(infos["reward/action_velocity"][:], wanted, rtol=1e-5)
            assert (wanted[1:] > 0).all()
            parts = sum(infos[f"reward/{name}"][:] for name in SECTIONS)
            np.testing.assert_allclose(episode["rewards"][:], parts, rtol=1e-5)
            assert infos["qpos"].shape == (len(action), 11)
            assert infos["qvel"].shape == (len(action), 10)
            assert infos["command/point"].shape == (len(action), 3)
            steps += len(action)
    assert steps == 4 * 8 * NUM_ENVS
