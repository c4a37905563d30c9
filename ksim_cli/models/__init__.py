"""Networks, distributions and normalisers, and the policy made of them."""

from importlib import import_module


def register_models() -> None:
    """Imports every module of models, which registers what is in them."""
    for name in ("mlp", "gru"):
        import_module(f"ksim_cli.models.{name}")
