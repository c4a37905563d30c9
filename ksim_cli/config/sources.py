"""Files of configuration, checked before they are read: what would run code, and what is too large.

A project of YAML alone shall run no code, whoever wrote it. Hydra can be told to import things:
by `_target_`, by callbacks and logging, by what launchers and sweepers hand to a shell or import.
None of these is for a file. Their plain parameters are.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from ksim_cli.config.components import COMPONENTS
from ksim_cli.config.schema import COMPONENT_SECTIONS, TERM_SECTIONS
from ksim_cli.errors import UserError
from ksim_cli.paths import builtin_root

MAX_VALUES = 5000
MAX_DEPTH = 32
"""Values in a file, and mappings in mappings: more would be read for minutes."""

_CODE = re.compile(r"_target_|_partial_|_recursive_|_convert_|_args_|class|\(\)")
"""Keys by which Hydra and `logging.config` build what they name."""

_PLAIN = (
    *("sweep", "launcher", "sweeper", "mode", "verbose", "output_subdir", "searchpath"),
    *("job.name", "job.chdir", "job.config"),
)
"""Sections of `hydra` that a file may set."""

_LEVELS = re.compile(r"(job|hydra)_logging(\.(root|loggers|handlers)(\..+)?)?(\.level)?")
"""Of its logging only how much is said: handlers write where they are told to."""

_RESOLVERS = re.compile(
    r"\$\{(new_sweep:\w+|hydra\.(sweep\.dir|job\.(num|id|name|override_dirname)))\}"
)
"""Interpolations that a file's section `hydra` may hold; others could come to anything."""

_NOT_PLAIN = ("setup", "additional_parameters", "srun_args", "python", "custom_search_space")
"""Parameters of launchers and sweepers that a shell runs, or that name what is imported."""

_TYPED = re.compile(r"\s*['\"]?(_target_|\(\)|class|custom_search_space)['\"]?\s*")


class CheckedFiles(FileConfigSource):
    """Hydra's source of files, with every file looked at first."""

    def load_config(self, config_path: str) -> ConfigResult:
        """See Hydra's `ConfigSource`.

        Raises:
            UserError: the file is too large, or would run code.
        """
        file = Path(self.path, self._normalize_file_name(config_path))
        if not file.is_file():
            return super().load_config(config_path)  # which says so
        text = file.read_text("utf-8", errors="replace")
        refuse_too_large(text, str(file))
        loaded = super().load_config(config_path)
        if not file.resolve().is_relative_to(builtin_root()):
            package = ConfigSource._get_header_dict(text[:512])["package"] or "_group_"
            group = config_path.rpartition("/")[0].replace("/", ".")
            content = OmegaConf.to_container(loaded.config, resolve=False)
            package = package.replace("_group_", group).replace("_global_", "")
            refuse_code(content, package, file)
            if package == "" and isinstance(content, dict):
                _refuse_lists(content, file)
                if isinstance(files := content.get("motion"), str | list):
                    files = files if isinstance(files, list) else [files]
                    loaded.config["motion"] = {"files": files}  # as it is typed
        _open(loaded.config, config_path.partition("/")[0])
        return loaded


def check_files() -> None:
    """Makes Hydra read every file, of whatever folder, through `CheckedFiles`."""
    SourcesRegistry.instance().types["file"] = CheckedFiles


def refuse_too_large(text: str, where: str) -> None:
    """Refuses a YAML text that would be read for minutes; what is no YAML is left to its reader.

    Raises:
        UserError: too many values, too deep, or aliases that unfold to too many.
    """
    try:
        for _ in _counted(text, where):
            pass
    except yaml.YAMLError:
        return


def _counted(text: str, where: str) -> Iterator[None]:
    """Counts events as they come, so that what is too large is not read to its end."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    sizes: dict[str, int] = {}  # of what an alias unfolds to, nested ones unfolded too
    open_nodes: list[tuple[str | None, int]] = []
    count = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            count += sizes.get(event.anchor, MAX_VALUES)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if count > 2 * MAX_VALUES:  # a key and its value are two
            raise UserError(f"{where}: holds more than {MAX_VALUES} values")
        if len(open_nodes) > MAX_DEPTH:
            raise UserError(
                f"{where}: mappings or lists in one another, more than {MAX_DEPTH} deep"
            )
        yield


def refuse_code(content: Any, package: str, file: Path) -> None:
    """Refuses a file by which Hydra would run code.

    Args:
        content: what it holds, as plain data.
        package: where in the configuration that goes; empty: at the top.
        file: for the message.

    Raises:
        UserError: it names the file and the key.
    """
    where = os.path.relpath(file)
    if package and not re.fullmatch(r"[\w.]+", package):
        raise UserError(f"{where}: the package '{package}' is not a plain name")
    if isinstance(content, dict):
        _refuse_packages(content.get("defaults"), package, where)
    for path, value in _flat(content, package):
        names = path.split(".")
        if path == "hydra.run.dir":
            raise UserError(
                f"{where}: {path}: the folder of a run is run_dir. Write run_dir: {value}"
            )
        key = next((name for name in names if _CODE.fullmatch(name)), None)
        if key is None and names[0] == "hydra":
            key = _unfit(names, value)
        if key is not None:
            raise UserError(
                f"{where}: {path}: '{key}' could run code, or write where it likes, and a file of"
                " configuration may do neither."
                " Take it out; what is a plain parameter of Hydra can be typed"
            )


def _refuse_lists(content: dict[Any, Any], file: Path) -> None:
    """Refuses a section that is anything but entries by name, which Hydra refuses without a key."""
    for name in (*TERM_SECTIONS, *COMPONENT_SECTIONS):
        value = content.get(name)
        if value is not None and not isinstance(value, dict) and "${" not in str(value):
            raise UserError(
                f"{os.path.relpath(file)}: {name}: holds names and what they stand for, got"
                f" {value}. Write {name}: {{NAME: ...}}"
            )


def _unfit(names: list[str], value: Any) -> str | None:
    """What of a key and value of the section `hydra` is not plain."""
    path = ".".join(names[1:])
    if path == "defaults" or path.startswith("defaults."):
        return None  # checked as what it is
    for name in names[1:]:
        if name in _NOT_PLAIN:
            return name
    if path.startswith("sweeper.params."):
        return _unfit_parameter(".".join(names[3:]), value)
    known = any(f"{path}.".startswith(f"{plain}.") for plain in ("", *_PLAIN))
    known |= bool(_LEVELS.fullmatch(path)) and (isinstance(value, dict) or names[-1] == "level")
    if not known and not (path in ("job", "run") and isinstance(value, dict)):
        return path if names[1] == "job" else names[1]
    whole = ("", "launcher", "sweeper", "sweeper.params", "sweep", "job")
    if path in whole and isinstance(value, str):
        return value  # a whole section from elsewhere
    if path == "output_subdir" and value is not None:
        return path  # where Hydra writes files of its own, over whatever is there
    if not isinstance(value, str):
        return None
    if names[1:2] == ["searchpath"]:
        return None if value.startswith("file://") or "://" not in value else value
    # Of several lines, one of its own in the script of a launcher; of a path, another's folder.
    literal = _RESOLVERS.sub("x", value)
    leads_away = os.path.isabs(literal) or literal[:1] == "~" or ".." in re.split(r"[/\\]", literal)
    if path == "sweep.dir":  # Hydra writes there
        file = Path(literal, "multirun.yaml")
        leads_away |= any(path.is_symlink() for path in (file, *file.parents))
    return names[-1] if leads_away or "${" in literal or not value.isprintable() else None


def _unfit_parameter(key: str, value: Any) -> str | None:
    """What of a parameter of a sweep, which becomes an override as if typed, is not plain."""
    name = key.lstrip("+~ ")
    if re.split(r"[./]", name)[0] == "hydra" or "@" in name:
        return name
    try:
        refuse_code_typed(name, str(value))
    except UserError:
        return name
    return None


def _refuse_packages(defaults: Any, package: str, where: str) -> None:
    """Refuses a defaults list that would put the content of another file into `hydra`."""
    for entry in defaults if isinstance(defaults, list) else ():
        for text in entry if isinstance(entry, dict) else (entry,):
            _, at, target = str(text).partition("@")
            inside = "hydra" in target or package.partition(".")[0] == "hydra"
            if at and (inside or not re.fullmatch(r"[\w.]+", target)):
                raise UserError(
                    f"{where}: defaults: '{text}' puts a file into Hydra's own section, which"
                    " could run code. Choose an option of a group of hydra instead"
                )


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Path and value of everything inside a value, itself included."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item, path)


def refuse_code_typed(key: str, value: str) -> None:
    """Refuses an override by which Hydra would run code that is none of its plugins'.

    What is typed may set every plain parameter, a launcher's `setup` among them: it is the user's
    own shell that runs it.

    Raises:
        UserError: it says which key.
    """
    names = [*re.split(r"[./]", key), *re.split(r"[{,:\[]", value)]
    found = next((name.strip() for name in names if _TYPED.fullmatch(name)), None)
    if re.split(r"[./]", key)[:2] == ["hydra", "callbacks"]:
        found = "callbacks"
    if found is not None and (key.startswith("hydra") or found[0] == "_"):
        raise UserError(
            f"{key}={value}: '{found}' names code to run, which ksim takes from tasks/ only."
            " Plain parameters of Hydra can be typed: hydra.launcher.timeout_min=60"
        )


def _open(config: Any, group: str) -> None:
    """Lets fields be typed that the file of a component does not name, where no schema knows them.

    A user's own algorithm has none; a file that builds on another takes that one's.
    """
    has_schema = group in COMPONENTS and "defaults" in config
    if group in COMPONENT_SECTIONS and OmegaConf.is_dict(config) and not has_schema:
        OmegaConf.set_struct(config, False)
