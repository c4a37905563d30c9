from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.mdp.event_manager import EventManager
from ksim_cli.mdp.term import Disturbance, Event
from tests.point import Push, steps_of

KEY = jax.random.key(0)


@dataclass(frozen=True, kw_only=True)
class Pull(Event):
    newton: float

    def __call__(self, step, carry, key):
        force = jnp.zeros((2, 6)).at[1, 0].set(self.newton * step.level)
        return Disturbance(velocity=jnp.zeros(2), force=force), carry


@dataclass(frozen=True, kw_only=True)
class Toss(Event):
    def __call__(self, step, carry, key):
        return Disturbance(velocity=jax.random.normal(key, (2,))), carry


def test_effects_add_up_and_carries_are_handed_on():
    manager = EventManager({"x": Push(axis=0), "y": Push(axis=1), "again": Push(axis=1)}, 3)
    carry = manager.init(KEY)
    for i in (1.0, 2.0):
        effect, carry, bad = manager(steps_of(3), carry, KEY)
        assert effect.velocity.tolist() == [[i, 2 * i]] * 3
        assert {name: mask.tolist() for name, mask in bad.items()} == {
            f"events.{name}": [False] * 3 for name in ("x", "y", "again")
        }
    assert effect.force is None
    assert carry["x"].tolist() == [2.0] * 3


def test_forces_of_those_that_have_them_add_up():
    manager = EventManager({"push": Push(), "a": Pull(newton=2.0), "b": Pull(newton=3.0)}, 2)
    steps = steps_of(2, level=jnp.array([1.0, 0.5]))
    effect, _, _ = manager(steps, manager.init(KEY), KEY)
    assert effect.force.shape == (2, 2, 6)
    assert effect.force[:, 1, 0].tolist() == [5.0, 2.5]
    assert float(jnp.abs(effect.force).sum()) == 7.5


def test_every_environment_and_event_draws_for_itself():
    manager = EventManager({"a": Toss()}, 4)
    (one, _, _), (two, _, _) = (manager(steps_of(4), {"a": ()}, KEY) for _ in range(2))
    np.testing.assert_array_equal(one.velocity, two.velocity)
    assert len(np.unique(one.velocity)) == 8
    both, _, _ = EventManager({"a": Toss(), "b": Toss()}, 4)(steps_of(4), {"a": (), "b": ()}, KEY)
    assert (both.velocity != 2 * one.velocity).all()
