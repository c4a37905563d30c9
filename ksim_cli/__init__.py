"""Train robot controllers by reinforcement learning in simulation, from configuration.

What the author of a task needs is imported from here: `from ksim_cli import Task, Reward, REWARDS`.
Each name is looked up when it is first asked for, so that `ksim --help` does not import JAX.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksim_cli.mdp.actuators import Actuator as Actuator
    from ksim_cli.mdp.term import Command as Command
    from ksim_cli.mdp.term import Curriculum as Curriculum
    from ksim_cli.mdp.term import Event as Event
    from ksim_cli.mdp.term import Observation as Observation
    from ksim_cli.mdp.term import Randomizer as Randomizer
    from ksim_cli.mdp.term import Reset as Reset
    from ksim_cli.mdp.term import Reward as Reward
    from ksim_cli.mdp.term import Termination as Termination
    from ksim_cli.mdp.term import resolved as resolved
    from ksim_cli.registry import ACTUATORS as ACTUATORS
    from ksim_cli.registry import ALGORITHMS as ALGORITHMS
    from ksim_cli.registry import COMMANDS as COMMANDS
    from ksim_cli.registry import CURRICULA as CURRICULA
    from ksim_cli.registry import EVENTS as EVENTS
    from ksim_cli.registry import MODELS as MODELS
    from ksim_cli.registry import OBSERVATIONS as OBSERVATIONS
    from ksim_cli.registry import RANDOMIZERS as RANDOMIZERS
    from ksim_cli.registry import RESETS as RESETS
    from ksim_cli.registry import REWARDS as REWARDS
    from ksim_cli.registry import TASKS as TASKS
    from ksim_cli.registry import TERMINATIONS as TERMINATIONS
    from ksim_cli.rl.algorithm import Algorithm as Algorithm
    from ksim_cli.task import Task as Task
    from ksim_cli.types import Step as Step

__version__ = "0.1.0"

_TERMS = "Command Curriculum Event Observation Randomizer Reset Reward Termination resolved"
_REGISTRIES = (
    "ACTUATORS ALGORITHMS COMMANDS CURRICULA EVENTS MODELS OBSERVATIONS RANDOMIZERS RESETS REWARDS"
    " TASKS TERMINATIONS"
)
_HOMES = {
    "Actuator": "ksim_cli.mdp.actuators",
    "Algorithm": "ksim_cli.rl.algorithm",
    "Step": "ksim_cli.types",
    "Task": "ksim_cli.task",
    **dict.fromkeys(_TERMS.split(), "ksim_cli.mdp.term"),
    **dict.fromkeys(_REGISTRIES.split(), "ksim_cli.registry"),
}
"""Public name -> the module that defines it."""

if not (Path(__file__).parent / "tasks").is_dir():
    # In a checkout tasks/ lies beside the package; in a wheel it lies inside.
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
