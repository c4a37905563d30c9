"""Runs that a new run takes something of, found before JAX is imported (no numpy, no JAX)."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ksim_cli.config.saved import read_config
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError, error_context
from ksim_cli.io.runs import RunFolder, find_checkpoint

_GROUPS = ("actor", "critic")
"""Groups of an observation that names none, as in `ksim_cli.mdp.term.Observation`."""


def with_sources(config: RunConfig, root: Path) -> RunConfig:
    """The config of a new run whose sources are written out: what is newest now may not stay so.

    Of a teacher its networks and what they see are written, too, so that its run is not needed
    for them again.

    Args:
        config: as it was composed.
        root: folder of all runs.

    Raises:
        UserError: there is no such run, or it has no such checkpoint; or none is named.
    """
    if config.init_from_partial and config.init_from is None:
        raise UserError("init_from_partial=true: of what? Type init_from=RUN, or leave it out")
    if config.init_from is not None:
        found = _find("init_from", config.init_from, root)
        config = dataclasses.replace(config, init_from=_written(*found))
    if config.algo["type"] == "distill":
        config = dataclasses.replace(config, algo=_with_teacher(config.algo, root))
    return config


def _find(key: str, spec: str, root: Path) -> tuple[RunFolder, int | None]:
    """The run that a key names, and the step of the checkpoint where it names one."""
    with error_context(f"{key}={spec}"):
        return find_checkpoint(spec, root)


def _written(run: RunFolder, step: int | None) -> str:
    return str(run.path if step is None else run.checkpoints / f"{step:08d}")


def _with_teacher(algo: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """`algo.*` with what a teacher's config says of its actor.

    Its observations stand beside the student's under names of their own, in groups of their own.
    """
    if not algo["teacher"]:
        raise UserError("algo.teacher: whose actions are to be imitated? Type algo.teacher=RUN")
    run, step = _find("algo.teacher", algo["teacher"], root)
    saved = read_config(run.config)
    model, observations = saved.get("model"), saved.get("observations")
    if not isinstance(model, dict) or not isinstance(observations, dict):
        raise UserError(f"algo.teacher={algo['teacher']}: {run.config} has no model to imitate")
    wanted = model.get("actor_groups", _GROUPS[:1])
    seen: dict[str, Any] = {}
    for name, section in observations.items():
        if isinstance(section, dict):
            groups = [group for group in section.get("groups") or _GROUPS if group in wanted]
            if groups:
                seen[_ours(name)] = {**section, "groups": [_ours(group) for group in groups]}
    written = {"teacher": _written(run, step), "teacher_model": model}
    return {**algo, **written, "teacher_observations": seen}


def _ours(name: str) -> str:
    return f"teacher_{name}"
