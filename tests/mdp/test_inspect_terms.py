import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest

from ksim_cli.errors import UserError
from ksim_cli.load_task import load_task
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.inspect_terms import inspect_terms
from ksim_cli.mdp.term import (
    Command,
    Disturbance,
    Event,
    Observation,
    Reset,
    Reward,
    Termination,
)
from ksim_cli.task_model import TaskModel
from tests.helpers import tiny_cartpole


@dataclass(frozen=True, kw_only=True)
class Body(Observation):
    def __call__(self, step, carry, key):
        return step.view.xpos[-1], carry


@dataclass(frozen=True, kw_only=True)
class Matrix(Observation):
    def __call__(self, step, carry, key):
        return step.view.xpos, carry


@dataclass(frozen=True, kw_only=True)
class Vector(Reward):
    def __call__(self, step, carry):
        return step.view.qvel, carry


@pytest.fixture(scope="module")
def cartpole():
    return TaskModel(load_task("cartpole")(tiny_cartpole()))


def inspect(cartpole, aux=None, **terms):
    return inspect_terms(cartpole.model, dataclasses.replace(cartpole.mdp, **terms), aux)


def test_only_what_terms_read_is_viewed(cartpole):
    assert cartpole.layout.fields == {"qpos", "qvel"}
    more = inspect(cartpole, observations={"body": Body()})
    assert more.fields == {"qpos", "qvel", "xpos"}
    assert more.reward_fields == {"qpos", "qvel"}


@pytest.mark.parametrize(
    ("kind", "base", "value"),
    [
        ("events", Event, lambda x: Disturbance(velocity=jnp.zeros(2) * x)),
        ("terminations", Termination, lambda x: x > 5.0),
        ("rewards", Reward, lambda x: x),
    ],
)
def test_every_kind_of_term_is_asked_what_it_reads(cartpole, kind, base, value):
    @dataclass(frozen=True, kw_only=True)
    class Reads(base):
        def __call__(self, step, carry, *key):
            return value(step.view.cinert[0, 0]), carry

    layout = inspect(cartpole, **{kind: {"it": Reads()}})
    assert layout.fields == {"qpos", "qvel", "cinert"}
    assert ("cinert" in layout.reward_fields) == (kind == "rewards")


def test_groups_choose_who_sees_what(cartpole):
    secret = {"public": Body(), "secret": Body(groups=("critic", "teacher"), history=2)}
    layout = inspect(cartpole, observations=secret)
    assert layout.sizes == {"public": 3, "secret": 3}
    assert layout.groups == {
        "actor": {"public": 3},
        "critic": {"public": 3, "secret": 6},
        "teacher": {"secret": 6},
    }
    assert layout.group_sizes == {"actor": 3, "critic": 9, "teacher": 6}
    with pytest.raises(UserError, match=r"^observations: none; a task needs at least one"):
        inspect(cartpole, observations={})


def test_wrong_shapes_are_named(cartpole):
    with pytest.raises(UserError, match=r"^observations.m: not a vector but of shape \(3, 3\)"):
        inspect(cartpole, observations={"m": Matrix()})
    with pytest.raises(UserError, match=r"^rewards.v: not a scalar but \(2,\)"):
        inspect(cartpole, rewards={"v": Vector()})


@dataclass(frozen=True, kw_only=True)
class Follow(Command):
    """Reads other commands, and perhaps the view."""

    reads: tuple[str, ...] = ()
    sees: bool = False

    def __call__(self, step, carry, key):
        value = sum((step.commands[name] for name in self.reads), start=jnp.ones(2))
        return value + (step.view.qpos if self.sees else 0.0), carry


def test_commands_are_ordered_by_what_they_read(cartpole):
    commands = {
        "a": Follow(reads=("c",)),
        "b": Follow(),
        "c": Follow(reads=("d", "b")),
        "d": Follow(sees=True),
    }
    layout = inspect(cartpole, commands=commands)
    # Each after those it reads; `c` reads the view through `d`, and `a` through both.
    assert list(layout.commands.items()) == [("d", True), ("b", False), ("c", True), ("a", True)]
    # `d` was evaluated before `e` asks for it, and still counts.
    late = inspect(cartpole, commands={"d": Follow(sees=True), "e": Follow(reads=("d",))})
    assert late.commands == {"d": True, "e": True}


def test_a_circle_of_commands_is_named(cartpole):
    circle = {"x": Follow(reads=("a",)), "a": Follow(reads=("b",)), "b": Follow(reads=("a",))}
    with pytest.raises(UserError, match="commands read each other in a circle: a > b > a"):
        inspect(cartpole, commands=circle)
    with pytest.raises(UserError, match=r"^commands.a: commands read .* circle: a > a"):
        inspect(cartpole, commands={"a": Follow(reads=("a",))})


def test_a_reset_that_reads_what_is_not_there_yet_is_named(cartpole):
    @dataclass(frozen=True, kw_only=True)
    class Reads(Reset):
        command: str

        def __call__(self, pose, key, level):
            return pose.replace(qpos=pose.qpos + commanded(pose, self.command, 2))

    commands = {"early": Follow(), "late": Follow(sees=True)}
    inspect(cartpole, commands=commands, resets={"r": Reads(command="early")})
    with pytest.raises(UserError, match=r"^resets.r: no command 'late'.*commands: early"):
        inspect(cartpole, commands=commands, resets={"r": Reads(command="late")})


def test_rewards_see_what_comes_with_an_action(cartpole):
    @dataclass(frozen=True, kw_only=True)
    class Aux(Reward):
        def __call__(self, step, carry):
            assert step.zero_offset is None
            return step.aux["gates"].sum() + step.aux["count"], carry

    asked = []

    def aux(sizes):
        asked.append(sizes)
        count = jax.ShapeDtypeStruct((), jnp.int32)
        return {"gates": jax.ShapeDtypeStruct((3,), jnp.float32), "count": count}

    layout = inspect(cartpole, aux=aux, rewards={"aux": Aux()})
    assert asked == [{"actor": 5, "critic": 5}]
    assert layout.reward_fields == set()
    with pytest.raises(TypeError):
        inspect(cartpole, rewards={"aux": Aux()})


def test_every_term_is_called_once(cartpole):
    calls = []

    @dataclass(frozen=True, kw_only=True)
    class Counted(Observation):
        def __call__(self, step, carry, key):
            calls.append("observation")
            return step.time[None], carry

    @dataclass(frozen=True, kw_only=True)
    class CountedReward(Reward):
        def __call__(self, step, carry):
            calls.append("reward")
            return step.time, carry

    @dataclass(frozen=True, kw_only=True)
    class CountedCommand(Command):
        def __call__(self, step, carry, key):
            calls.append("command")
            return step.time[None], carry

    inspect(
        cartpole,
        observations={"x": Counted()},
        rewards={"x": CountedReward()},
        commands={"x": CountedCommand(), "y": Follow(reads=("x",))},
    )
    assert sorted(calls) == ["command", "observation", "reward"]
