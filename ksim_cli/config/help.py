"""Texts of `--help` and `ksim list`. Standard library only."""

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ksim_cli.config.aliases import ALIASES, old_names
from ksim_cli.config.components import (
    COMPONENTS,
    LoggerConfig,
    MotionConfig,
    RetargetConfig,
    schema_of,
)
from ksim_cli.config.looking import LOOKING
from ksim_cli.config.options import Option, list_options
from ksim_cli.config.schema import SECTIONS, ComponentKeys, RetargetKeys, RunConfig
from ksim_cli.paths import GROUPS
from ksim_cli.registry import KINDS, default_text, value_text

COMMANDS = {
    "train": "train a policy",
    "eval": "play deterministic episodes and write eval.json",
    "view": "render a policy to a video",
    "collect": "record a dataset of episodes",
    "retarget": "bring keypoints, or another robot's motion, onto the task's robot",
    "report": "write report.html: curves, evaluation, video, config, of a run or of several",
    "plot": "draw curves of runs in the terminal",
    "bench": "measure physics, rollout, update and training of a task",
    "list": "list every group's options, your own included; ksim list rewards: their types too",
}

TERMS_ONLY = tuple(name for name in KINDS if name not in GROUPS)
"""Sections that `ksim list` knows besides the groups: their entries only have types."""

_EXAMPLES = {
    "train": (
        "ksim train task=cartpole",
        "ksim train task=cartpole engine=mjx num_envs=512 optimizer.learning_rate=1e-3",
        "ksim train -m task=cartpole seed=0,1,2",
        "ksim train resume=latest max_env_steps=2000000",
    ),
    "eval": ("ksim eval", "ksim eval checkpoint=runs/cartpole/... num_episodes=64"),
    "view": ("ksim view", "ksim view task=cartpole policy=random viewer_num_seconds=5"),
    "collect": ("ksim collect dataset_num_batches=10",),
    "retarget": (
        "ksim retarget task=quadruped motion=keypoints.npz out=clip.npz",
        "ksim retarget task=humanoid motion=walk.npz motion_model=other.xml out=clip.npz",
        "ksim retarget ... retarget.points={left_hand:LeftWrist,head:null} retarget.scale=0.8",
    ),
    "report": ("ksim report", "ksim report runs/sweeps/... out=sweep.html"),
    "plot": ("ksim plot", "ksim plot runs/cartpole keys=episode_return,reward/* smooth=10"),
    "bench": (
        "ksim bench task=humanoid",
        "ksim bench -m task=cartpole engine=mujoco,mjx num_envs=256,1024",
    ),
}

_RUNS = """\
  RUN: a run's folder; latest, which is meant where none is named; or a folder of runs, such as a
  sweep's: all of them"""

_FLAGS = """\
  -m, --multirun         one job for each value of a comma-separated override
  --cfg job              print the config and leave
  --info [defaults|searchpath|...]  how the config came about
  --config-dir FOLDER    one more folder of configs
  --config-name NAME     another primary config than train"""


def main_help() -> str:
    """`ksim --help`."""
    commands = "\n".join(f"  {name:<9}{text}" for name, text in COMMANDS.items())
    return (
        "ksim: train robot controllers by reinforcement learning in simulation, from"
        " configuration.\n\n"
        f"usage: ksim COMMAND [key=value ...]\n\ncommands:\n{commands}\n\n"
        "  ksim train task=cartpole\n  ksim view\n\n"
        "ksim COMMAND --help lists the groups and keys of a command; ksim --version the version."
    )


def command_help(command: str, config: RunConfig | None = None) -> str:
    """`ksim <command> --help`.

    Args:
        command: its name.
        config: whose values are shown, of the task that was typed; None: the defaults.
    """
    lines = [f"ksim {command}: {COMMANDS[command]}", ""]
    if command in LOOKING:
        lines += [f"usage: ksim {command} [RUN ...] [key=value ...]", _RUNS, ""]
        lines += [f"  {example}" for example in _EXAMPLES[command]]
        return "\n".join([*lines, "", "keys:", *_keys(LOOKING[command])])
    lines += [f"usage: ksim {command} [group=option ...] [key=value ...]", ""]
    lines += [f"  {example}" for example in _EXAMPLES[command]]
    lines += ["", "groups:"]
    for group, options in list_options().items():
        names = ", ".join(option.name for option in options) + _was(group)
        lines += _wrapped(f"  {group + '=':<14}", names)
    prefixes: dict[Any, str] = {keys: "" for keys in SECTIONS if keys is not ComponentKeys}
    for group, components in COMPONENTS.items():
        chosen = None if config is None else schema_of(group, getattr(config, group))
        shown = components.values() if config is None else [chosen] if chosen else []
        prefixes |= dict.fromkeys(shown, f"{group}.")
    prefixes |= {MotionConfig: "motion.", RetargetConfig: "retarget.", LoggerConfig: "logger."}
    if command == "retarget":  # its own first
        prefixes = {
            RetargetKeys: "",
            RetargetConfig: "retarget.",
            MotionConfig: "motion.",
        } | prefixes
    for schema, prefix in prefixes.items():
        title = (schema.__doc__ or "").splitlines()[0].rstrip(".")
        if prefix and all(
            f.name in ALIASES for f in dataclasses.fields(schema) if f.name != "type"
        ):
            title += f", typed without `{prefix}` too"
        section = getattr(config, prefix[:-1]) if config and prefix else config
        lines += ["", f"{title}:", *_keys(schema, prefix, section)]
    return "\n".join([*lines, "", "flags:", _FLAGS])


def list_text(groups: list[str]) -> str:
    """`ksim list [group ...]`.

    Args:
        groups: the groups to show; empty for all.
    """
    lines: list[str] = []
    shown = {g: o for g, o in list_options().items() if not groups or g in groups}
    width = max((len(option.name) for each in shown.values() for option in each), default=0)
    for group, options in shown.items():
        lines += [f"{group}:", *(_option(option, width) for option in options)]
    return "\n".join(lines)


def _option(option: Option, width: int) -> str:
    note = "shadows the built-in one. " if option.shadows else ""
    return f"  {option.name:<{width}}  {option.source}  {note}{option.description}".rstrip()


def _keys(schema: type, prefix: str = "", section: Any = None) -> Iterator[str]:
    """Key, value, meaning, choices and unit of each field; the default without a section."""
    for field in dataclasses.fields(schema):
        unit = f" [{field.metadata['unit']}]" if field.metadata.get("unit") else ""
        choices = field.metadata.get("choices") or ()
        among = f": {', '.join(choices)}" if len(choices) > 1 else ""
        value = default_text(field)
        if section is not None:
            given = section if isinstance(section, Mapping) else vars(section)
            value = value_text(given[field.name]) if field.name in given else value
        head = f"  {prefix + field.name}={value}"
        text = f"{field.metadata.get('help', '')}{among}{unit}{_was(prefix + field.name)}"
        yield from _wrapped(f"{head:<38} ", text)


def _was(key: str) -> str:
    old = old_names(key)
    return f" (also {', '.join(old)})" if old else ""


def _wrapped(head: str, text: str) -> list[str]:
    width = max(60, min(110, shutil.get_terminal_size((100, 24)).columns))
    indent = " " * (len(head) if len(head) <= 40 else 39)
    return textwrap.wrap(head + text, width, subsequent_indent=indent)
