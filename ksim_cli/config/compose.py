"""Hydra: from a command line to a validated `RunConfig`.

One `hydra.main` per command, so that sweeps, `--cfg`, `--info` and `--config-dir` work as they do
in every Hydra program. Hydra ends here: code below sees frozen dataclasses only.
"""

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ksim_cli.config import options, report
from ksim_cli.config.components import COMPONENTS
from ksim_cli.config.overrides import CommandLine, parse
from ksim_cli.config.saved import read_config
from ksim_cli.config.schema import RunConfig
from ksim_cli.config.validate import validate
from ksim_cli.errors import UserError
from ksim_cli.paths import GROUPS, builtin_root, project_root, task_file

SavedConfig = Callable[[CommandLine], Path | None]
"""Finds the saved config a command starts from; None: the built-in ones."""

_VERSION_BASE = "1.3"


class ProjectConfigs(SearchPathPlugin):
    """Puts the user's `configs/` before the built-in ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """See Hydra's `SearchPathPlugin`."""
        root = project_root()
        if root is not None and (root / "configs").is_dir():
            search_path.prepend("project", f"file://{root / 'configs'}", anchor="main")


def launch(
    command: str, arguments: list[str], job: Callable[[DictConfig], Any], saved: SavedConfig
) -> int:
    """Composes the configuration and runs a command on it.

    Args:
        command: its name, for messages.
        arguments: what was typed after it.
        job: a module-level function of the composed config (launchers find it by name).
        saved: finds the saved config to start from.

    Returns:
        The exit status: 0, 1 for a job that failed, 2 for a mistake of the user.
    """
    wants_full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra re-raises, and the message is ours
    argv = sys.argv
    try:
        line = parse(command, arguments)
        if line.multirun and any(
            f in ("-c", "--cfg") or f.startswith("--cfg=") for f in line.flags
        ):
            raise UserError("--cfg shows one job's config: leave out --multirun")
        if line.value("task") is not None and (line.value("resume") or line.value("checkpoint")):
            raise UserError(
                "task=... and a saved run together: a run has its task already."
                " Leave out one of them"
            )
        path = saved(line)
        _register_schemas()
        if path is not None:
            line = _start_from(path, line)
        Plugins.instance().register(ProjectConfigs)
        sys.argv = [f"ksim {command}", *line.flags, *line.overrides]
        hydra.main(
            version_base=_VERSION_BASE,
            config_path=str(builtin_root() / "configs"),
            config_name="train" if path is None else "saved",
        )(job)()
    except Exception as error:
        return report.report(error, command, wants_full_error)
    finally:
        sys.argv = argv
        if not wants_full_error:
            del os.environ["HYDRA_FULL_ERROR"]
    return 0


def to_run_config(composed: DictConfig) -> RunConfig:
    """The composed config as frozen dataclasses, checked; called inside the job.

    Raises:
        UserError: a value is missing, unknown or impossible.
    """
    hydra_config = HydraConfig.get()
    choice = hydra_config.runtime.choices.get("task")
    OmegaConf.resolve(composed)
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise UserError(f"needs a value: {', '.join(missing)}. Type {missing[0]}=...")
    config = OmegaConf.to_object(composed)
    assert isinstance(config, RunConfig)
    name = choice or config.task.name
    kind = config.task.type or (name if _has_class(name) else "task")
    changes: dict[str, Any] = {
        section: OmegaConf.to_container(composed[section])
        for section in ("algo", "model", "optimizer", "curriculum")
        if composed[section] is not None
    }
    changes["task"] = dataclasses.replace(config.task, name=name, type=kind)
    if config.run_dir is None and hydra_config.mode == RunMode.MULTIRUN:
        changes["run_dir"] = hydra_config.runtime.output_dir
    config = dataclasses.replace(config, **changes)
    validate(config)
    return config


def is_sweep() -> bool:
    """Whether the job is one of a sweep; called inside the job."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def _has_class(name: str) -> bool:
    own = project_root()
    roots = [builtin_root()] if own is None else [own, builtin_root()]
    return any(task_file(root, name) for root in roots)


def _register_schemas() -> None:
    """Stores the schema of the run and of every component that has one."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=_structured(RunConfig))
    for group, components in COMPONENTS.items():
        for name, schema in components.items():
            store.store(group=group, name=f"{name}_schema", node=_structured(schema))
    for name in options.tasks_without_config():
        store.store(group="task", name=name, node={"task": {"type": name}}, package="_global_")


def _structured(schema: type) -> DictConfig:
    """A structured node that Hydra may write to, though the dataclass is frozen."""
    node = OmegaConf.structured(schema)
    nodes = [node]
    while nodes:
        parent = nodes.pop()
        OmegaConf.set_readonly(parent, None)
        nodes += [child for child in parent.values() if isinstance(child, DictConfig)]
    return node


def _start_from(path: Path, line: CommandLine) -> CommandLine:
    """Stores a saved config as the base of the composition."""
    values = read_config(path)
    for group in GROUPS:
        # Hydra merges; a group that is named anew shall replace what was saved.
        if line.value(group) is not None:
            values.pop(group, None)
    ConfigStore.instance().store(name="_saved", node=values)
    return line
