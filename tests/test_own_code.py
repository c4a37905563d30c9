"""Mistakes in a user's own code: his term, file and line, the likely cause, nobody else's frames."""

import pytest

from tests.run.commands import TINY, ksim, ksim_process

HEAD = """\
from dataclasses import dataclass
import jax
import jax.numpy as jnp
import numpy as np
from ksim_cli import ACTUATORS, COMMANDS, EVENTS, OBSERVATIONS, RESETS, REWARDS, TERMINATIONS
from ksim_cli import Actuator, Command, Event, Observation, Reset, Reward, Termination
from ksim_cli import CURRICULA, RANDOMIZERS, Curriculum, Randomizer
from ksim_cli.mdp import maths
from ksim_cli.mdp.term import Disturbance

frozen = dataclass(frozen=True, kw_only=True)
"""
LINES = HEAD.count("\n")
KINDS = {
    "rewards": ("REWARDS", "Reward", "step, carry"),
    "observations": ("OBSERVATIONS", "Observation", "step, carry, key"),
    "terminations": ("TERMINATIONS", "Termination", "step, carry"),
    "commands": ("COMMANDS", "Command", "step, carry, key"),
    "events": ("EVENTS", "Event", "step, carry, key"),
    "resets": ("RESETS", "Reset", "pose, key, level"),
    "actuators": ("ACTUATORS", "Actuator", "action, joints, carry"),
    "randomization": ("RANDOMIZERS", "Randomizer", "model, rng"),
    "curriculum": ("CURRICULA", "Curriculum", "level, statistics, carry"),
}
KEYS = {"actuators": "actuators.all", "curriculum": "curriculum"}
"""Section -> key of the term there, where it is not `<section>.up`."""
LEVEL = "    initial_level = lambda self: 0.5\n"


def term(kind, body, decorator="@frozen", more=""):
    registry, base, arguments = KINDS[kind]
    return (
        f'{HEAD}@{registry}.register("mine")\n{decorator}\nclass Mine({base}):\n{more}'
        f"    def __call__(self, {arguments}):\n        {body}\n"
    )


def told(tmp_path, code, typed):
    """What is said of a project whose `tasks/__init__.py` is this; all of it."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text(code)
    if typed == "curriculum=mine":
        (tmp_path / "configs" / "curriculum").mkdir(parents=True)
        (tmp_path / "configs" / "curriculum" / "mine.yaml").write_text("type: mine\n")
    done = ksim("train", *TINY, "num_iterations=1", typed, cwd=tmp_path, check=2)
    (said,) = done.stderr.split("ksim train: ")[1:]
    assert "Traceback" not in said and "site-packages" not in said
    assert "ksim_cli/" not in said, "nobody else's frames"
    assert not list((tmp_path / "runs").glob("*/*")), "nothing has begun"
    return said


def section(kind):
    if kind == "curriculum":
        return "curriculum=mine"
    return f"+{kind}.up={{type: mine}}" if kind != "actuators" else "actuators.all={type: mine}"


CALL = LINES + 4
WRONG = {
    "raises": ("rewards", "return 1 / 0, carry", "ZeroDivisionError: division by zero", ""),
    "name": ("rewards", "return jpn.ones(()), carry", "NameError: name 'jpn'", ""),
    "if": (
        *("rewards", "return (1.0 if step.view.qpos[0] > 0 else 0.0), carry"),
        *("TracerBoolConversionError", "jnp.where(condition, a, b)"),
    ),
    "max": (
        *("rewards", "return max(step.view.qpos[0], 0.0), carry"),
        *("TracerBoolConversionError", "jnp.maximum"),
    ),
    "float": (
        *("rewards", "return float(step.view.qpos[0]), carry"),
        *("ConcretizationTypeError", "in compiled code a value is not a number yet"),
    ),
    "numpy": (
        *("observations", "return np.sin(step.view.qpos), carry"),
        *("TracerArrayConversionError", "take those of jax.numpy"),
    ),
    "mask": (
        *("observations", "return step.view.qpos[step.view.qpos > 0], carry"),
        *("NonConcreteBooleanIndexError", "jnp.where(mask, x, 0)"),
    ),
    "item": (
        *("observations", "x = step.view.qpos; x[0] = 1.0; return x, carry"),
        *("TypeError", "x = x.at[i].set(value)"),
    ),
    "self": (
        *("terminations", "self.last = step.time; return jnp.int32(0), carry"),
        *("FrozenInstanceError", "return value, carry"),
    ),
    "actuator": ("actuators", "return {}['kp'], carry", "KeyError: 'kp'", ""),
    "randomizer": ("randomization", "model.opt.timestep = 1 / 0", "ZeroDivisionError", ""),
    "curriculum": ("curriculum", "return {}['high'], carry", "KeyError: 'high'", ""),
    "ksim in a reward": ("rewards", "return maths.about_z(self), carry", "TypeError", ""),
    "ksim in an event": ("events", "return maths.about_z(self), carry", "TypeError", ""),
    "ksim in a randomizer": ("randomization", "maths.about_z(self)", "TypeError", ""),
    # What he asks of the base class, it leaves to him: told by his line, as any error of his is.
    "no super": ("rewards", "return super().__call__(step, carry)", "NotImplementedError", ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_term_raises_is_told_by_its_key_and_line(case, tmp_path):
    kind, body, raised, cause = WRONG[case]
    more = LEVEL if kind == "curriculum" else ""
    said = told(tmp_path, term(kind, body, more=more), section(kind))
    key, line = KEYS.get(kind, f"{kind}.up"), CALL + 1 + more.count("\n")
    first, *frames = said.splitlines()
    assert first.startswith(f"{key} (tasks/__init__.py:{line}): {raised}")
    assert frames[0] == f"  tasks/__init__.py:{line}: {body}"
    assert cause in said and ("Mostly:" in said) == bool(cause)
    assert "KSIM_TRACEBACK=1 shows all of it" in said


GIVES = {
    "no carry": ("rewards", "return step.time", "returned an array", "value, carry"),
    "an observation alone": ("observations", "return step.view.qpos", "returned a", "value, carry"),
    "a command alone": ("commands", "return jnp.zeros(2)", "returned a", "value, carry"),
    "an event alone": ("events", "return Disturbance()", "returned a Disturb", "value, carry"),
    "a termination alone": ("terminations", "return jnp.int32(0)", "returned a", "value, carry"),
    "three values": ("rewards", "return step.time, carry, 1", "returned 3 values", "value, carry"),
    "nothing": ("rewards", "pass", "returned a NoneType", "value, carry"),
    "another carry": ("rewards", "return step.time, step.time", "its carry changed from ()", ""),
    "a vector": ("rewards", "return step.view.qpos, carry", "not a scalar but (2,)", ""),
    "a scalar": ("observations", "return step.time, carry", "not a vector but of shape ()", ""),
    "a flag of each": ("terminations", "return step.view.qpos > 1, carry", "not a scalar", ""),
    "an array": ("events", "return jnp.zeros(2), carry", "not a Disturbance", ""),
    "positions": ("resets", "return pose.qpos", "not a Pose", ""),
    "one torque": (
        "actuators",
        "return action.sum(), carry",
        "gave torques of shape () (",
        "not [1]",
    ),
    "torques alone": ("actuators", "return action", "returned a", "value, carry"),
}


@pytest.mark.parametrize("case", GIVES)
def test_what_a_term_gives_is_looked_at(case, tmp_path):
    kind, body, wrong, cause = GIVES[case]
    said = told(tmp_path, term(kind, body), section(kind))
    key = KEYS.get(kind, f"{kind}.up")
    assert said.startswith(f"{key}: ") and wrong in said and cause in said
    assert f"(tasks/__init__.py:{CALL})" in said


def test_a_command_that_there_is_not_is_told_to_the_command_that_reads_it(tmp_path):
    code = term("commands", 'return step.commands["upp"], carry')
    said = told(tmp_path, code, section("commands"))
    assert said.startswith("commands.up: no command 'upp'. Did you mean 'up'? Commands: up\n")


def test_a_carry_that_grows_is_told(tmp_path):
    more = "    def init(self, key):\n        return jnp.zeros(2)\n"
    code = term("observations", "return step.view.qpos, jnp.zeros(3)", more=more)
    said = told(tmp_path, code, section("observations"))
    assert "its carry changed from float32[2] to float32[3] (tasks/__init__.py:" in said


IMPORTS = {
    "plain dataclass": (
        *(term("rewards", "return step.time, carry", "@dataclass"), LINES + 2),
        *("TypeError", "@dataclass(frozen=True, kw_only=True)"),
    ),
    "no keywords": (
        *(f"{HEAD}@dataclass\nclass A:\n    a: int = 1\n    b: int\n", LINES + 1),
        *("TypeError", "@dataclass(frozen=True, kw_only=True)"),
    ),
    "syntax": (f"{HEAD}def f(:\n    pass\n", LINES + 1, "SyntaxError: invalid syntax", ""),
    "package": (f"{HEAD}import nowhere_to_be\n", LINES + 1, "ModuleNotFoundError", "pip install"),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_what_fails_on_import_is_told_by_its_line(case, tmp_path):
    code, line, raised, cause = IMPORTS[case]
    said = told(tmp_path, code, "seed=0")
    assert said.startswith(f"tasks/__init__.py:{line}: {raised}")
    assert cause in said


def test_a_name_that_is_taken_is_told(tmp_path):
    code = term("rewards", "return 0.0, carry").replace('"mine"', '"action_velocity"')
    said = told(tmp_path, code, "seed=0")
    assert said.startswith("reward 'action_velocity' is registered twice: by ksim_cli.")
    assert f"by tasks.Mine (tasks/__init__.py:{CALL})" in said


def test_a_task_of_ones_own_that_raises(tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from ksim_cli import TASKS\nfrom ksim_cli.tasks.cartpole import CartPole\n"
        '@TASKS.register("mine")\nclass Mine(CartPole):\n'
        "    def get_rewards(self):\n        return self.helper()\n"
        '    def helper(self):\n        raise RuntimeError("not yet\\nwritten")\n'
    )
    done = ksim("train", "task=cartpole", "task.type=mine", *TINY[1:], cwd=tmp_path, check=2)
    assert "tasks/mine.py:8: RuntimeError: not yet\n" in done.stderr
    assert "  tasks/mine.py:6: return self.helper()\n" in done.stderr


@pytest.mark.slow
def test_all_of_it_is_shown_on_demand_and_a_crash_of_ours_always(tmp_path, monkeypatch):
    monkeypatch.setenv("KSIM_TRACEBACK", "1")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text(term("rewards", "return 1 / 0, carry"))
    typed = ("train", *TINY, "num_iterations=1", section("rewards"))
    done = ksim_process(*typed, cwd=tmp_path, check=1)
    assert "Traceback" in done.stderr and "inspect_terms.py" in done.stderr
    assert "in rewards.up" in done.stderr
