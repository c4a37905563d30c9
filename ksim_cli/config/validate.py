"""Checks across keys, before JAX is imported."""

import math
from collections.abc import Iterator

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError, nearest

_CHOICES = {
    "solver": ("newton", "cg"),
    "integrator": ("implicitfast", "euler", "rk4"),
    "engine.type": ("auto", "mujoco", "mjx"),
    "engine.impl": ("jax",),
    "viewer": ("video",),
    "policy": ("zero", "random"),
}
_POSITIVE = (
    *("ctrl_dt", "dt", "num_envs", "batch_size", "iterations", "ls_iterations", "tolerance"),
    *("epochs_per_log_step", "num_episodes", "eval_length_seconds", "action_clip_max"),
    *("render_height", "render_width", "render_fps", "render_slowdown", "dataset_num_batches"),
)
_POSITIVE_OR_NULL = (
    *("num_iterations", "max_env_steps", "save_every_n_seconds", "save_every_n_steps"),
    *("rollout_length_seconds", "rollout_length_frames", "valid_every_n_seconds"),
    *("valid_every_n_steps", "viewer_num_seconds", "render_length_seconds"),
)
_RANGES = {
    "gamma": (0.0, 1.0),
    "lam": (0.0, 1.0),
    "clip_param": (0.0, math.inf),
    "entropy_coef": (0.0, math.inf),
    "kl_coef": (0.0, math.inf),
    "value_loss_coef": (0.0, math.inf),
    "num_passes": (1, math.inf),
    "log_clip_value": (0.0, math.inf),
    "desired_kl": (0.0, math.inf),
}


def validate(config: RunConfig) -> None:
    """Refuses a configuration that cannot be trained.

    Raises:
        UserError: with every complaint, one a line.
    """
    complaints = [
        *_choices(config),
        *_numbers(config),
        *_sizes(config),
        *_algorithm(config),
        *_optimizer(config),
    ]
    if complaints:
        raise UserError("\n".join(complaints))


def _choices(config: RunConfig) -> Iterator[str]:
    for path, choices in _CHOICES.items():
        value = config
        for name in path.split("."):
            value = getattr(value, name)
        if value is not None and value not in choices:
            hint = nearest(str(value), choices)
            yield f"{path}={value}: is not one of {', '.join(choices)}.{hint}"


def _numbers(config: RunConfig) -> Iterator[str]:
    for name in (*_POSITIVE, *_POSITIVE_OR_NULL):
        value: float | None = getattr(config, name)
        if value is None:
            continue
        if not (math.isfinite(value) and value > 0):
            yield f"{name}={value}: must be a positive number"
    if config.seed < 0:
        yield f"seed={config.seed}: must be 0 or more"
    if config.engine.num_threads < 0:
        yield f"engine.num_threads={config.engine.num_threads}: must be 0 (one per core) or more"
    low, high = config.reward_clip_min, config.reward_clip_max
    if low is not None and high is not None and low > high:
        yield f"reward_clip_min={low}: is larger than reward_clip_max={high}"
    if len(config.render_lookat) != 3:
        yield f"render_lookat={config.render_lookat}: needs three numbers, [x, y, z]"


def _sizes(config: RunConfig) -> Iterator[str]:
    if config.dt > 0 and config.ctrl_dt > 0:
        ratio = config.ctrl_dt / config.dt
        if not math.isfinite(ratio) or abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
            near = max(1, round(ratio)) * config.dt if math.isfinite(ratio) else config.dt
            yield (
                f"ctrl_dt={config.ctrl_dt}: must be a multiple of dt={config.dt}."
                f" Nearest: ctrl_dt={near:g}"
            )
    if config.num_envs > 0 and config.batch_size > 0 and config.num_envs % config.batch_size:
        divisors = [d for d in range(1, config.num_envs + 1) if config.num_envs % d == 0]
        near = sorted(divisors, key=lambda d: abs(d - config.batch_size))[:2]
        yield (
            f"batch_size={config.batch_size}: must divide num_envs={config.num_envs}"
            f" (it counts environments per minibatch). Nearest: {', '.join(map(str, sorted(near)))}"
        )
    lengths = (config.rollout_length_seconds, config.rollout_length_frames)
    if lengths == (None, None):
        yield "rollout_length_frames: not given. Set it, or rollout_length_seconds"
    elif None not in lengths:
        yield (
            f"rollout_length_seconds={lengths[0]} and rollout_length_frames={lengths[1]}:"
            " only one of them may be given; set the other to null"
        )


def _algorithm(config: RunConfig) -> Iterator[str]:
    algo = config.algo or {}
    for name, (low, high) in _RANGES.items():
        value = algo.get(name)
        if isinstance(value, int | float) and not low <= value <= high:
            wanted = f"in [{low}, {high}]" if math.isfinite(high) else f"at least {low}"
            yield f"algo.{name}={value}: must be {wanted}"
    if algo.get("adaptive_kl") and not algo.get("kl_coef"):
        yield "algo.adaptive_kl=true: has nothing to steer at algo.kl_coef=0. Set algo.kl_coef=0.01"


def _optimizer(config: RunConfig) -> Iterator[str]:
    optimizer = config.optimizer or {}
    for name in ("learning_rate", "max_grad_norm"):
        value = optimizer.get(name)
        if isinstance(value, int | float) and not (math.isfinite(value) and value > 0):
            yield f"optimizer.{name}={value}: must be a positive number"
