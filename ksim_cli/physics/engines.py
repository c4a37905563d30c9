"""The choice of an engine: by name or `auto`, through the registry `ENGINES`.

Every module `<name>_engine.py` of this folder registers the engine of that name. It is imported
when that engine is asked for: MJX takes seconds.
"""

import pkgutil
from typing import NamedTuple

import jax

from ksim_cli import physics
from ksim_cli.physics.engine import Engine, EngineSpec
from ksim_cli.registry import ENGINES

for _module in pkgutil.iter_modules(physics.__path__):
    _name = _module.name.removesuffix("_engine")
    if _name != _module.name:
        ENGINES.register_module(_name, f"{physics.__name__}.{_module.name}")


class EngineChoice(NamedTuple):
    """An engine, and the implementation of it where there are several.

    Attributes:
        type: registered name, e.g. `mujoco` or `mjx`.
        impl: `jax` or `warp`; empty for an engine with one implementation.
    """

    type: str
    impl: str

    def __str__(self) -> str:
        return f"{self.type} ({self.impl})" if self.impl else self.type


def engine_class(name: str) -> type[Engine]:
    """The registered engine, for its capabilities (`shards`, `batches_seeds`).

    Raises:
        UserError: no such engine.
    """
    return ENGINES.get(name, "engine.type")


def resolve_engine(name: str, impl: str = "auto") -> EngineChoice:
    """The engine and implementation that `engine.type` and `engine.impl` mean on this machine.

    `auto` is `mujoco` on a CPU-only machine, `mjx` with Warp on NVIDIA where that is installed,
    `mjx` with JAX elsewhere. Who asks for Warp by name asks for `mjx`.

    Raises:
        UserError: no such engine.
    """
    if name == "auto":
        is_native = jax.default_backend() == "cpu" and impl != "warp"
        name = "mujoco" if is_native else "mjx"
    return EngineChoice(name, engine_class(name).choose_impl(impl))


def make_engine(name: str, spec: EngineSpec) -> Engine:
    """Builds the engine of that name, or the one that `auto` means.

    Raises:
        UserError: no such engine, or it cannot step this model.
    """
    return engine_class(resolve_engine(name, spec.impl).type)(spec)
