import dataclasses

import jax.numpy as jnp
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.markers import markers_of
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.term import Command, Curriculum, Reward
from ksim_cli.types import Marker, Step


def sphere(at):
    return Marker("sphere", jnp.full(3, at), jnp.array([1.0, 0, 0, 0]), jnp.ones(3), (1, 0, 0, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told(Command):
    def markers(self, step, value):
        return (sphere(value[0]),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paid(Reward):
    shown: object = ()

    def markers(self, step):
        return self.shown


STEP = Step(
    view=None,
    action=jnp.zeros(1),
    commands={"a": jnp.array([5.0])},
    time=jnp.zeros(()),
    termination=jnp.zeros((), int),
    truncated=jnp.zeros((), bool),
    level=jnp.ones(()),
)


def mdp(shown):
    rewards = {"silent": Paid(), "paid": Paid(shown=shown)}
    return Mdp(curriculum=Curriculum(), commands={"a": Told()}, rewards=rewards)


def test_commands_show_their_value_and_rewards_come_after_them():
    markers = markers_of(mdp([sphere(1.0), sphere(2.0)]), STEP)
    assert [float(marker.position[0]) for marker in markers] == [5.0, 1.0, 2.0]


@pytest.mark.parametrize("shown", [3, ("arrow",), sphere(0.0).replace(shape="cone")])
def test_what_is_no_marker_is_named(shown):
    with pytest.raises(UserError, match=r"rewards\.paid: its markers hold .* tuple of Marker"):
        markers_of(mdp(shown), STEP)
