"""The terms of a Markov decision process, each for one environment and one step."""


def register_terms() -> None:
    """Imports every module of terms, which registers what is in them."""
    from ksim_cli.mdp import (  # noqa: F401
        actuators,
        curricula,
        noise,
        observations,
        resets,
        rewards,
        terminations,
    )
