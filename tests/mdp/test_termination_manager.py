from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import pytest

from ksim_cli.mdp.term import Termination
from ksim_cli.mdp.termination_manager import TerminationManager
from tests.point import Third, steps_of

N = 4


@dataclass(frozen=True, kw_only=True)
class Codes(Termination):
    """A code for each environment, by its first action."""

    codes: tuple[int, ...]

    def __call__(self, step, carry):
        return jnp.array(self.codes)[step.action[0].astype(int)], carry


@dataclass(frozen=True, kw_only=True)
class Limits(Codes):
    truncates: ClassVar[bool] = True


def judge(**terms):
    steps = steps_of(N, action=jnp.stack([jnp.arange(float(N)), jnp.zeros(N)], axis=1))
    return TerminationManager(terms, N)(steps, dict.fromkeys(terms, ()))


@pytest.mark.parametrize("failure_first", [True, False])
def test_failure_wins_over_success_whatever_the_order(failure_first):
    terms = {"failure": Codes(codes=(-1, 0, -1, 0)), "success": Codes(codes=(1, 1, 0, 0))}
    names = sorted(terms, reverse=not failure_first)
    steps, causes, _, _ = judge(**{name: terms[name] for name in names})
    assert steps.termination.tolist() == [-1, 1, -1, 0]
    assert not steps.truncated.any()
    assert causes["failure"].tolist() == [True, False, True, False]
    assert causes["success"].tolist() == [True, True, False, False]


def test_a_time_limit_is_kept_apart():
    steps, causes, _, _ = judge(limit=Limits(codes=(0, 1, 1, 0)), end=Codes(codes=(0, 0, 1, 1)))
    assert steps.truncated.tolist() == [False, True, True, False]
    assert steps.termination.tolist() == [0, 0, 1, 1]
    assert causes["limit"].tolist() == [False, True, True, False]


@pytest.mark.parametrize(("level", "wanted"), [(0.4, [-1, 0]), (0.5, [0, 0]), (1.0, [0, 0])])
def test_a_termination_is_off_from_a_level_on(level, wanted):
    term = Codes(codes=(-1, 0), disable_at_curriculum_level=0.5)
    steps = steps_of(2, action=jnp.array([[0.0, 0.0], [1.0, 0.0]]), level=jnp.full(2, level))
    ended, causes, _, _ = TerminationManager({"x": term}, 2)(steps, {"x": ()})
    assert ended.termination.tolist() == wanted
    assert causes["x"].tolist() == [code != 0 for code in wanted]


def test_carries_are_handed_on():
    manager, carry = TerminationManager({"third": Third()}, 1), {"third": jnp.zeros(1, int)}
    codes = []
    for _ in range(4):
        steps, _, carry, _ = manager(steps_of(1), carry)
        codes.append(int(steps.termination[0]))
    assert codes == [0, 0, -1, 0] and carry["third"].tolist() == [4]


def test_without_terms_nothing_ends():
    steps, causes, carry, _ = judge()
    assert not steps.termination.any() and not steps.truncated.any() and causes == carry == {}


@pytest.mark.parametrize(
    ("code", "is_one"), [(1.0, True), (-1, True), (0.0, True), (jnp.nan, False), (2, False)]
)
def test_what_is_no_code_is_noticed(code, is_one):
    @dataclass(frozen=True, kw_only=True)
    class Gives(Termination):
        def __call__(self, step, carry):
            return jnp.where(step.action[0] == 2.0, jnp.asarray(code), 0), carry

    _, _, _, bad = judge(end=Gives())
    assert bad["terminations.end"].tolist() == [False, False, not is_one, False]
