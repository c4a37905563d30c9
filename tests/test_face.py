"""The names that whoever writes a task imports from the package itself."""

import importlib
import subprocess
import sys

import pytest

import ksim_cli

NAMES = [
    "Task",
    "Reward",
    "Observation",
    "Termination",
    "Reset",
    "Command",
    "Event",
    "Randomizer",
    "Actuator",
    "Curriculum",
    "TASKS",
    "REWARDS",
    "OBSERVATIONS",
    "TERMINATIONS",
    "RESETS",
    "COMMANDS",
    "EVENTS",
    "RANDOMIZERS",
    "ACTUATORS",
    "CURRICULA",
    "MODELS",
    "ALGORITHMS",
    "resolved",
    "Step",
    "Algorithm",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_one_of_its_own_module(name):
    given = getattr(ksim_cli, name)
    home = importlib.import_module(ksim_cli._HOMES[name])
    assert given is getattr(home, name)


def test_the_names_are_listed_and_no_other_is_there():
    assert set(NAMES) == set(ksim_cli._HOMES) <= set(dir(ksim_cli))
    with pytest.raises(AttributeError, match="module 'ksim_cli' has no attribute 'Tusk'"):
        _ = ksim_cli.Tusk


def test_help_loads_the_standard_library_only():
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from ksim_cli.cli import main\n"
        "main(['--help']); main(['train', '--help']); main(['list'])\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - {'ksim_cli'} - sys.stdlib_module_names))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
