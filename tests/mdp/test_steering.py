"""What a person holds and pushes; `tests/run/test_session.py` tries it on robots."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.mdp.commands.sampled import FloatVector
from ksim_cli.mdp.steering import Push, SteeredCommand
from ksim_cli.mdp.term import Command, Disturbance, Latch
from ksim_cli.types import Marker
from tests.point import steps_of


@dataclass(frozen=True, kw_only=True)
class Counting(Command):
    """How often it was asked, twice."""

    def init(self, key):
        return jnp.zeros(())

    def __call__(self, step, carry, key):
        return jnp.full(2, carry), carry + 1.0

    def error(self, step, value):
        return jnp.abs(value).sum()

    def markers(self, step, value):
        return (Marker("sphere", value, jnp.zeros(4), jnp.zeros(3), (1.0, 0.0, 0.0, 1.0)),)


def test_a_command_is_what_it_was_until_it_is_held_and_counts_on_meanwhile():
    term = SteeredCommand(inner=Counting(), shape=(2,))
    step = jax.tree.map(lambda x: x[0], steps_of(1))
    carry, told = term.init(jax.random.key(0)), []
    for i in range(4):
        held = Latch.holding(jnp.array([7.0, 8.0])) if i in (1, 2) else Latch.empty(2)
        value, carry = term(step, carry.replace(held=held), jax.random.key(i))
        told.append(value.tolist())
    assert told == [[0.0, 0.0], [7.0, 8.0], [7.0, 8.0], [3.0, 3.0]]
    assert float(term.error(step, jnp.array([1.0, -2.0]))) == 3.0
    assert term.markers(step, jnp.ones(2))[0].shape == "sphere"


def test_its_error_is_measured_where_that_of_the_command_is():
    numbers = FloatVector(ranges=((0.0, 1.0),))
    assert SteeredCommand(inner=Counting(), shape=(2,)).is_measured
    assert not SteeredCommand(inner=numbers, shape=(1,)).is_measured


def test_a_push_is_what_its_carry_says_and_nothing_at_first():
    push = Push(nv=3, nbody=2)
    nothing = push.init(jax.random.key(0))
    assert not nothing.velocity.any() and nothing.force.shape == (2, 6)
    wanted = Disturbance(velocity=jnp.ones(3), force=jnp.ones((2, 6)))
    given, carry = push(None, wanted, jax.random.key(0))
    np.testing.assert_array_equal(given.velocity, jnp.ones(3))
    assert carry is wanted
