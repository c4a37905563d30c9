"""Hydra: from a command line to a validated `RunConfig`.

One `hydra.main` per command, so that sweeps, `--cfg`, `--info` and `--config-dir` work as they do
in every Hydra program. Hydra ends here: code below sees frozen dataclasses only.
"""

import dataclasses
import functools
import logging
import os
import sys
from collections.abc import Callable
from glob import escape, iglob
from pathlib import Path
from typing import Any

import hydra
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, detect_task_name
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ksim_cli.config import options, report
from ksim_cli.config.components import COMPONENTS
from ksim_cli.config.extending import resolve_task
from ksim_cli.config.overrides import CommandLine, parse
from ksim_cli.config.saved import read_config
from ksim_cli.config.schema import COMPONENT_SECTIONS, TERM_SECTIONS, RunConfig
from ksim_cli.config.settle import (
    kept_entries,
    refuse_files,
    typed_keys,
    with_batch_size,
    with_camera,
    with_paths,
)
from ksim_cli.config.sources import check_files
from ksim_cli.config.validate import complete, validate
from ksim_cli.errors import UserError
from ksim_cli.paths import GROUPS, builtin_root, project_root, stay_in
from ksim_cli.registry import make

_VERSION_BASE = "1.3"
_SCHEMAS = "schema"
"""Config group of the schemas: not among the options, where `algo=glob(*)` would meet them."""


@dataclasses.dataclass(frozen=True)
class Start:
    """Start of the composition.

    Attributes:
        line: the command line, perhaps with the run that it means written out.
        saved: saved config to start from; None: the built-in ones.
    """

    line: CommandLine
    saved: Path | None = None


class ProjectConfigs(SearchPathPlugin):
    """Puts the user's `configs/` before the built-in ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """See Hydra's `SearchPathPlugin`."""
        root = project_root()
        if root is not None and (root / "configs").is_dir():
            search_path.prepend("project", f"file://{root / 'configs'}", anchor="main")


def make_sweep_folders(make: Callable[[str], str]) -> None:
    """Says what `${new_sweep:<root>}` means: a new folder, made once for all jobs of a sweep.

    Args:
        make: a folder of all runs -> a folder in it that no other sweep has.
    """
    OmegaConf.register_new_resolver("new_sweep", make, use_cache=True, replace=True)


def launch(
    command: str,
    arguments: list[str],
    job: Callable[[DictConfig], Any],
    begin: Callable[[CommandLine], Start],
) -> int:
    """Composes the configuration and runs a command on it.

    Args:
        command: its name, for messages.
        arguments: what was typed after it.
        job: a module-level function of the composed config (launchers find it by name).
        begin: finds the saved config to start from.

    Returns:
        The exit status: 0, 1 for a job that failed, 2 for a mistake of the user.
    """
    wants_full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra re-raises, and the message is ours
    argv = sys.argv
    stay_in(None)
    logging.getLogger("hydra").setLevel(logging.NOTSET)  # an earlier job may have changed it
    try:
        start = begin(parse(command, arguments))
        primary = "train" if start.saved is None else "saved"
        _say_if_shadowed(primary)
        _register_schemas()
        if start.saved is not None:
            _store_saved(start.saved, start.line)
        Plugins.instance().register(ProjectConfigs)
        check_files()
        sys.argv = [f"ksim {command}", *start.line.flags, *start.line.overrides]
        if _names_hydra(start.line):
            _run_hydra(job, primary)
        else:
            _run_once(job, primary, start.line.overrides)
    except Exception as error:
        return report.report(error, command, wants_full_error)
    finally:
        sys.argv = argv
        if not wants_full_error:
            del os.environ["HYDRA_FULL_ERROR"]
    return 0


def _names_hydra(line: CommandLine) -> bool:
    """True where flags, an override or a file of the user's may ask something of Hydra itself."""
    if line.flags or any("hydra" in override for override in line.overrides):
        return True
    if (own := project_root()) is None:
        return False
    files = map(Path, iglob(f"{escape(str(own))}/configs/**/*.yaml", recursive=True))
    readable = (file for file in files if file.is_file() and os.access(file, os.R_OK))
    return any(b"hydra" in file.read_bytes() for file in readable)


def _run_hydra(job: Callable[[DictConfig], Any], primary: str) -> None:
    """What was typed, whatever it asks of Hydra; `hydra.main` reads it from `sys.argv`."""
    configs = str(builtin_root() / "configs")
    hydra.main(version_base=_VERSION_BASE, config_path=configs, config_name=primary)(job)()


def _run_once(job: Callable[[DictConfig], Any], primary: str, overrides: list[str]) -> None:
    """A single job; `hydra.main` would compose everything twice, first to read `hydra.mode`."""
    version.setbase(_VERSION_BASE)
    search_path = create_config_search_path(str(builtin_root() / "configs"))
    name = detect_task_name(None, job.__module__)
    try:
        main = Hydra.create_main_hydra2(name, search_path)
        main.run(primary, job, [*overrides, "hydra.mode=RUN"])
    finally:
        GlobalHydra.instance().clear()


def _say_if_shadowed(primary: str) -> None:
    """A note where the user's project replaces a primary config, which few will want."""
    own = project_root()
    if own is not None and (own / "configs" / f"{primary}.yaml").is_file():
        print(f"ksim: configs/{primary}.yaml replaces the built-in one", file=sys.stderr)


def to_run_config(composed: DictConfig) -> RunConfig:
    """The composed config as frozen dataclasses, checked; called inside the job.

    Raises:
        UserError: a value is missing, unknown or impossible.
    """
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.cwd)  # hydra.job.chdir may have left it
    stay_in(None if folder == Path.cwd() else folder)
    config = _plain(composed)
    changes: dict[str, Any] = {
        name: kept_entries(getattr(config, name), name) for name in TERM_SECTIONS
    }
    for group in COMPONENT_SECTIONS:
        own = _of_the_option(group, getattr(config, group), hydra_config)
        changes[group] = complete(own, group)
    name = hydra_config.runtime.choices.get("task")
    typed = typed_now()
    changes["task"] = resolve_task(config.task, name, "task.type" in typed)
    if config.run_dir is None and is_sweep():
        changes["run_dir"] = hydra_config.runtime.output_dir
    config = with_paths(dataclasses.replace(config, **changes), folder, typed)
    refuse_files(config)
    config = with_camera(with_batch_size(config, typed), typed)
    validate(config)
    return config


def _plain(composed: DictConfig) -> RunConfig:
    """The composed config without OmegaConf; the sections of components are dicts."""
    try:
        OmegaConf.resolve(composed)
        values: Any = OmegaConf.to_container(composed)
        missing = sorted(OmegaConf.missing_keys(composed))
    except OmegaConfBaseException as error:
        raise UserError(report.explain(error)) from error
    if missing:
        raise UserError(f"needs a value: {', '.join(missing)}. Type {missing[0]}=...")
    return make(RunConfig, values, "")


def _of_the_option(group: str, section: Any, hydra_config: Any) -> Any:
    """The section of a component without what a task set for another one than was typed.

    A task's `algo: {lam: 0.99}` was tuned for the algorithm it names. Of an option of one's own
    that is typed in its place, what its file or the command line gives is kept.
    """
    typed = [override.lstrip("+") for override in hydra_config.overrides.task]
    option = hydra_config.runtime.choices.get(group)
    own = project_root()
    file = None if own is None else own / "configs" / group / f"{option}.yaml"
    if f"{group}={option}" not in typed or file is None or not file.is_file():
        return section
    written = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    if not isinstance(written, dict) or "defaults" in written or not isinstance(section, dict):
        return section  # built on another option, whose fields it shares
    given = {*written, *(text.partition("=")[0].removeprefix(f"{group}.") for text in typed)}
    left_out = {key: value for key, value in section.items() if key not in given}
    if left_out:
        shown = ", ".join(f"{key}={value}" for key, value in left_out.items())
        print(
            f"ksim: {group}={option}: what the task sets for another is left out: {shown}",
            file=sys.stderr,
        )
    return {key: value for key, value in section.items() if key in given}


def typed_now() -> frozenset[str]:
    """Keys that were typed; called inside the job."""
    return typed_keys(HydraConfig.get().overrides.task)


def is_sweep() -> bool:
    """True for a job of a sweep; called inside the job."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def _register_schemas() -> None:
    """Stores the schema of the run and of every component that has one."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=_open(_structured(RunConfig)))
    for group, components in COMPONENTS.items():
        for name, schema in components.items():
            store.store(group=f"{_SCHEMAS}/{group}", name=name, node=_structured(schema))
    store.repo.pop("task", None)  # of the folder that an earlier job of this process was in
    for name in options.tasks_without_config():
        store.store(group="task", name=name, node={"task": {"type": name}}, package="_global_")


@functools.cache
def _structured(schema: type) -> DictConfig:
    """A structured node that Hydra may write to, though the dataclass is frozen."""
    node = OmegaConf.structured(schema)
    for each in (node, *node.values()):
        if OmegaConf.is_config(each):
            OmegaConf.set_readonly(each, None)
    return node


def _open(node: DictConfig) -> DictConfig:
    """A node in whose sections any field may be typed, of a term or of a user's own component."""
    for name in (*TERM_SECTIONS, *COMPONENT_SECTIONS):
        if OmegaConf.is_dict(node.get(name)):
            OmegaConf.set_struct(node[name], False)
    for name in ("points", "weights"):  # whose keys are names of a robot's
        if OmegaConf.is_dict(named := OmegaConf.select(node, f"retarget.{name}")):
            OmegaConf.set_struct(named, False)
    return node


def _store_saved(path: Path, line: CommandLine) -> None:
    """Stores a saved config as the base of the composition.

    Raises:
        UserError: it cannot be read, or a value in it does not fit the schema.
    """
    values = read_config(path)
    for group in GROUPS:
        # Hydra merges; a group that is named anew shall replace what was saved.
        if line.value(group) is not None:
            values.pop(group, None)
    try:
        OmegaConf.merge(_structured(RunConfig), values)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {report.explain(error)}") from error
    ConfigStore.instance().store(name="_saved", node=_open(OmegaConf.create(values)))
