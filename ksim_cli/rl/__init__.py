"""Reinforcement learning over the `Env` protocol; knows nothing of MuJoCo, terms or Hydra."""

from importlib import import_module


def register_algorithms() -> None:
    """Imports every module of algorithms and optimizers, which registers what is in them."""
    for name in ("optimizers", "ppo", "amp", "distill"):
        import_module(f"ksim_cli.rl.{name}")
