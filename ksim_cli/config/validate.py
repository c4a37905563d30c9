"""Validation of a configuration beyond the types and limits of its keys, before JAX is imported."""

import dataclasses
import importlib.util
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ksim_cli.config.components import LoggerConfig, schema_of
from ksim_cli.config.schema import COMPONENT_SECTIONS, RunConfig
from ksim_cli.errors import UserError
from ksim_cli.registry import make


def complete(section: Any, group: str) -> Any:
    """The section of a component with names and types checked and its defaults filled in.

    One of a type without a schema here, a user's own, stays as it is: the registry checks it.

    Raises:
        UserError: an unknown field, or a value that is not allowed.
    """
    schema = schema_of(group, section)
    return section if schema is None else dataclasses.asdict(make(schema, section, group))


def validate(config: RunConfig) -> None:
    """Refuses a configuration whose keys, each of them allowed, cannot work together.

    Raises:
        UserError: with every complaint, one a line.
    """
    complaints = [*_sections(config)] or [*_sizes(config), *_components(config)]
    if complaints:
        raise UserError("\n  ".join(complaints))


def _sections(config: RunConfig) -> Iterator[str]:
    for group in COMPONENT_SECTIONS:
        if not isinstance(getattr(config, group), Mapping):
            yield f"{group}: none is chosen. See ksim list {group}"


def _sizes(config: RunConfig) -> Iterator[str]:
    if config.dt is not None:  # else the model's, which is not known yet
        yield from time_steps(config, config.dt)
    if config.num_envs % config.batch_size:
        near = _nearest_divisors(min(config.num_envs, 10**9), config.batch_size)
        yield (
            f"batch_size={config.batch_size}: must divide num_envs={config.num_envs}"
            f" (it counts environments per minibatch). Nearest: {', '.join(map(str, near))}"
        )
    if config.seed + config.num_seeds > 2**32:
        yield f"num_seeds={config.num_seeds}: seed={config.seed} and those after it exceed 2^32 - 1"
    yield from _engine(config)
    yield from _motion(config)
    yield from _warp(config)
    seconds, frames = config.rollout_length_seconds, config.rollout_length_frames
    if seconds is None and frames is None:
        yield "rollout_length_frames: not given. Set it, or rollout_length_seconds"
    if seconds is not None and frames is not None:
        yield (
            f"rollout_length_seconds={seconds:g} and rollout_length_frames={frames}:"
            " only one of them may be given; set the other to null"
        )
    low, high = config.reward_clip_min, config.reward_clip_max
    if low is not None and high is not None and low > high:
        yield f"reward_clip_min={low:g}: is larger than reward_clip_max={high:g}"
    if config.render_lookat is not None and len(config.render_lookat) != 3:
        yield f"render_lookat={config.render_lookat}: needs three numbers, [x, y, z]"
    if len(config.retarget.offset) != 3:
        yield f"retarget.offset={config.retarget.offset}: needs three numbers, [x, y, z] in metres"
    if len(config.plot_figsize) != 2:
        yield f"plot_figsize={config.plot_figsize}: needs two numbers, [width, height] in inches"


def _engine(config: RunConfig) -> Iterator[str]:
    latency = config.engine.action_latency_range
    if len(latency) != 2 or latency[0] > latency[1]:
        yield (
            f"engine.action_latency_range={latency}: must be [shortest, longest], in seconds."
            " Type engine.action_latency_range=[0,0.02]"
        )


def time_steps(config: RunConfig, dt: float) -> Iterator[str]:
    """Complaints about control steps and torque updates that are no multiples of `dt`, s."""
    ratio, update_dt = config.ctrl_dt / dt, config.engine.actuator_update_dt
    if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
        near = max(1, round(ratio)) * dt
        yield (
            f"ctrl_dt={config.ctrl_dt:g}: must be a multiple of dt={dt:g}."
            f" Nearest: ctrl_dt={near:g}"
        )
    if update_dt is None:
        return
    steps, updates = update_dt / dt, config.ctrl_dt / update_dt
    if any(abs(x - round(x)) > 1e-6 or round(x) < 1 for x in (steps, updates)):
        good = [dt * n for n in range(1, round(ratio) + 1) if round(ratio) % n == 0]
        yield (
            f"engine.actuator_update_dt={update_dt:g}: must be a multiple of dt={dt:g} that"
            f" divides ctrl_dt={config.ctrl_dt:g}. Allowed: {', '.join(f'{x:g}' for x in good)}"
        )


def _warp(config: RunConfig) -> Iterator[str]:
    """Keys of MuJoCo Warp beside an engine that is another; what `auto` means is not known yet."""
    engine = config.engine
    if engine.type == "mujoco" and engine.impl == "warp":
        yield "engine.impl=warp: is of engine=mjx, got engine=mujoco. Type engine=mjx"
    elif engine.type == "mujoco" or engine.impl == "jax":
        other = "engine=mujoco" if engine.type == "mujoco" else "engine.impl=jax"
        for name in ("graph_mode", "naconmax", "njmax"):
            value = getattr(engine, name)
            if value is not None:
                yield (
                    f"engine.{name}={value}: is of engine.impl=warp, got {other}."
                    " Leave it out, or type engine=mjx engine.impl=warp"
                )


def _motion(config: RunConfig) -> Iterator[str]:
    motion = config.motion
    if motion.weights and len(motion.weights) != len(motion.files):
        yield (
            f"motion.weights={motion.weights}: one for each of the {len(motion.files)} motion.files"
            " is needed, or none"
        )
    elif motion.weights and not sum(motion.weights) > 0:
        yield f"motion.weights={motion.weights}: one at least must be above 0"


def _components(config: RunConfig) -> Iterator[str]:
    """Combinations in which a key would do nothing, or no good."""
    algo, optimizer = config.algo, config.optimizer
    if algo.get("adaptive_kl") and not algo.get("kl_coef"):
        yield "algo.adaptive_kl=true: has nothing to steer at algo.kl_coef=0. Set algo.kl_coef=0.01"
    if algo.get("type") == "amp" and not config.motion.files:
        yield "algo=amp: needs a motion to imitate. Type motion=FILE, or a folder of ksim collect"
    if optimizer.get("type") == "adam" and optimizer.get("weight_decay"):
        yield (
            f"optimizer.weight_decay={optimizer['weight_decay']:g}: adam has none."
            " Choose optimizer=adamw"
        )


def refuse_missing_packages(logger: LoggerConfig) -> None:
    """Refuses a logger whose package is not installed, before anything is built.

    Raises:
        UserError: it says what to install.
    """
    for name, package in (("tensorboard", "tensorboardX"), ("wandb", "wandb")):
        if getattr(logger, name) and importlib.util.find_spec(package) is None:
            raise UserError(
                f"logger.{name}=true: needs {package}, which is not installed."
                f" Type pip install 'ksim[{name}]', or leave out logger.{name}"
            )


def divisors(number: int) -> set[int]:
    """All divisors of a positive number."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return {*small, *(number // d for d in small)}


def _nearest_divisors(number: int, wanted: int) -> list[int]:
    """The two divisors of a number that are nearest to another, in order."""
    return sorted(sorted(divisors(number), key=lambda d: abs(d - wanted))[:2])
