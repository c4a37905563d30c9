"""Runs that a new run takes something of, found before JAX is imported (no numpy, no JAX)."""

import dataclasses
from pathlib import Path

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.io.runs import find_checkpoint


def with_sources(config: RunConfig, root: Path) -> RunConfig:
    """The config of a new run whose sources are written out: what is newest now may not stay so.

    Args:
        config: as it was composed.
        root: folder of all runs.

    Raises:
        UserError: there is no such run, or it has no such checkpoint; or none is named.
    """
    if config.init_from_partial and config.init_from is None:
        raise UserError("init_from_partial=true: of what? Type init_from=RUN, or leave it out")
    if config.init_from is not None:
        config = dataclasses.replace(config, init_from=_found(config.init_from, root))
    return config


def _found(spec: str, root: Path) -> str:
    run, step = find_checkpoint(spec, root)
    return str(run.path if step is None else run.checkpoints / f"{step:08d}")
