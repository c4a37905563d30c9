"""The terms of a Markov decision process, and a manager per kind that batches them."""

from importlib import import_module
from pkgutil import walk_packages


def register_terms() -> None:
    """Import every module of this package: a term is registered where it is defined."""
    for module in walk_packages(__path__, f"{__name__}."):
        import_module(module.name)
