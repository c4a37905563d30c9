import dataclasses
from dataclasses import dataclass

import jax.numpy as jnp
import pytest

from ksim_cli.errors import UserError
from ksim_cli.load_task import load_task
from ksim_cli.mdp.probe import fields_needed, fields_scored, observation_layout
from ksim_cli.mdp.term import Event, Observation, Reward, Termination
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


def test_only_what_terms_read_is_viewed(cartpole):
    assert fields_needed(cartpole.model, cartpole.mdp) == {"qpos", "qvel"}
    more = dataclasses.replace(cartpole.mdp, observations={"body": Body()})
    assert fields_needed(cartpole.model, more) == {"qpos", "qvel", "xpos"}
    assert fields_scored(cartpole.model, more) == {"qpos", "qvel"}


@pytest.mark.parametrize(
    ("kind", "base", "value"),
    [
        ("events", Event, lambda x: jnp.zeros(2) * x),
        ("terminations", Termination, lambda x: x > 5.0),
        ("rewards", Reward, lambda x: x),
    ],
)
def test_every_kind_of_term_is_asked_what_it_reads(cartpole, kind, base, value):
    @dataclass(frozen=True, kw_only=True)
    class Reads(base):
        def __call__(self, step, carry, *key):
            return value(step.view.cinert[0, 0]), carry

    mdp = dataclasses.replace(cartpole.mdp, **{kind: {"it": Reads()}})
    assert fields_needed(cartpole.model, mdp) == {"qpos", "qvel", "cinert"}


def test_groups_choose_who_sees_what(cartpole):
    secret = {"public": Body(), "secret": Body(groups=("critic",))}
    mdp = dataclasses.replace(cartpole.mdp, observations=secret)
    layout = observation_layout(cartpole.model, mdp)
    assert layout == {"actor": {"public": 3}, "critic": {"public": 3, "secret": 3}}
    only = dataclasses.replace(mdp, observations={"secret": Body(groups=("critic",))})
    with pytest.raises(UserError, match="none is in the group 'actor'"):
        observation_layout(cartpole.model, only)


def test_wrong_shapes_are_named(cartpole):
    mdp = dataclasses.replace(cartpole.mdp, observations={"m": Matrix()})
    with pytest.raises(UserError, match=r"observations.m: not a vector but of shape \(3, 3\)"):
        observation_layout(cartpole.model, mdp)
    mdp = dataclasses.replace(cartpole.mdp, rewards={"v": Vector()})
    with pytest.raises(UserError, match=r"rewards.v: not a scalar but \(2,\)"):
        fields_scored(cartpole.model, mdp)
    assert jnp.zeros(()).shape == ()
