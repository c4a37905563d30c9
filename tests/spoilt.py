"""A project with an observation and a reward that are sometimes no numbers, or absurd ones."""

from pathlib import Path

TASKS = '''
from dataclasses import dataclass

import jax.numpy as jnp
from ksim_cli import OBSERVATIONS, REWARDS, Observation, Reward

VALUES = {"sound": 0.0, "broken": jnp.nan, "huge": 1e30, "large": 1e9}


def spoilt(step, value, where):
    """Zero, and the value where the pole leans one way, or the other, or everywhere."""
    angle = step.view.qpos[1]
    bad = {"some": angle > 0.02, "others": angle < -0.02, "all": True}[where]
    return jnp.where(bad, VALUES[value], 0.0)


@OBSERVATIONS.register("odd")
@dataclass(frozen=True, kw_only=True)
class OddObservation(Observation):
    value: str = "sound"
    where: str = "some"

    def __call__(self, step, carry, key):
        return spoilt(step, self.value, self.where)[None], carry


@REWARDS.register("odd")
@dataclass(frozen=True, kw_only=True)
class OddReward(Reward):
    value: str = "sound"
    where: str = "some"

    def __call__(self, step, carry):
        return spoilt(step, self.value, self.where), carry
'''


def write_project(folder: Path) -> None:
    """Puts the terms where a user has his own."""
    (folder / "tasks").mkdir()
    (folder / "tasks" / "__init__.py").write_text(TASKS)


def typed(kind: str, value: str, where: str = "some") -> tuple[str, ...]:
    """What is typed so that a term of that kind gives that value there."""
    fields = {"type": "odd", "value": value, "where": where}
    return tuple(f"++{kind}.odd.{name}={text}" for name, text in fields.items())
