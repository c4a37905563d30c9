"""The terms of a Markov decision process, each for one environment and one step."""

from importlib import import_module

_MODULES = (
    "actuators",
    "commands",
    "curricula",
    "events",
    "filters",
    "noise",
    "observations",
    "randomizers",
    "resets",
    "rewards",
    "scales",
    "terminations",
)


def register_terms() -> None:
    """Imports every module of terms, which registers what is in them."""
    for name in _MODULES:
        import_module(f"ksim_cli.mdp.{name}")
