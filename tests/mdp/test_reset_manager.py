from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.mdp.reset_manager import ResetManager
from ksim_cli.mdp.term import Pose, Reset
from tests.legged import LEGGED
from tests.point import POINT, LevelPlace, PlaceAt

KEY = jax.random.key(0)
LEVEL = jnp.float32(0.25)


@dataclass(frozen=True, kw_only=True)
class ByCommand(Reset):
    """Adds a command to the position, and tries to change the command."""

    def __call__(self, pose, key, level):
        return Pose(qpos=pose.qpos + pose.commands["goal"], qvel=pose.qvel, commands={})


@dataclass(frozen=True, kw_only=True)
class Scatter(Reset):
    def __call__(self, pose, key, level):
        return pose.replace(qvel=jax.random.normal(key, (2,)))


def manager(num_envs=3, xml=POINT, **terms):
    return ResetManager(terms, mujoco.MjModel.from_xml_string(xml), num_envs)


def test_without_resets_it_is_the_home_pose_at_rest():
    pose = manager(xml=LEGGED)(KEY, LEVEL, {})[0]
    assert pose.qpos.tolist() == [[0, 0, 0.5, 1, 0, 0, 0, 0, 0, 0, 0]] * 3
    assert pose.qvel.shape == (3, 10) and not pose.qvel.any()


def test_resets_compose_in_order_at_a_level():
    two = {"one": PlaceAt(at=(3.0, -2.0)), "two": LevelPlace()}
    assert manager(**two)(KEY, LEVEL, {})[0].qpos.tolist() == [[0.25, -2.0]] * 3
    swapped = {"two": two["two"], "one": two["one"]}
    assert manager(**swapped)(KEY, LEVEL, {})[0].qpos.tolist() == [[3.0, -2.0]] * 3


def test_resets_read_commands_and_cannot_change_them():
    goal = jnp.arange(6.0).reshape(3, 2)
    pose = manager(one=ByCommand(), two=ByCommand())(KEY, LEVEL, {"goal": goal})[0]
    np.testing.assert_array_equal(pose.qpos, 2 * goal)
    np.testing.assert_array_equal(pose.commands["goal"], goal)


def test_every_environment_draws_for_itself_whatever_stands_beside_the_reset():
    alone = manager(scatter=Scatter())(KEY, LEVEL, {})[0].qvel
    assert len(np.unique(alone)) == 6
    beside = manager(place=PlaceAt(), scatter=Scatter())(KEY, LEVEL, {})[0].qvel
    np.testing.assert_array_equal(alone, beside)
