"""Names that keys had before, in the reference system or here. Standard library only."""

import dataclasses

from ksim_cli.config.components import EngineConfig, PPOConfig

_MOVED = {
    "random_seed": "seed",
    "exp_dir": "run_dir",
    "max_steps": "num_iterations",
    "load_from_ckpt_path": "checkpoint",
    "run_viewer_num_seconds": "viewer_num_seconds",
    "run_viewer_save_renders": "viewer_save_renders",
    "run_viewer_save_video": "viewer_save_video",
    "run_model_viewer_num_seconds": "viewer_num_seconds",
    "run_model_viewer_save_renders": "viewer_save_renders",
    "run_model_viewer_argmax_action": "viewer_argmax_action",
    "run_viewer_argmax_action": "viewer_argmax_action",
    "run_environment": "run_model_viewer",
    "run_environment_num_seconds": "viewer_num_seconds",
    "run_environment_argmax_action": "viewer_argmax_action",
    "run_motion_viewer": "run_model_viewer",
    "run_motion_viewer_loop": "motion.loop",
    "teacher_model_path": "algo.teacher",
    "learning_rate": "optimizer.learning_rate",
    "max_grad_norm": "optimizer.max_grad_norm",
    "global_grad_clip": "optimizer.max_grad_norm",
}

_OF_AMP = (
    *("disc_num_passes", "amp_reference_batch_size", "amp_grad_penalty_coef"),
    *("amp_reference_noise", "amp_reference_noise_min_multiplier"),
)
ALIASES_OF_TRAIN = {"load_from_ckpt_path": "init_from"}
"""Old name of a key -> its path today in `ksim train`, where that trains."""

_OF_ENGINES = ("type", "impl", "graph_mode", "naconmax", "njmax", "num_threads")

ALIASES: dict[str, str] = (
    _MOVED
    | {f.name: f"algo.{f.name}" for f in dataclasses.fields(PPOConfig) if f.name != "type"}
    | {name: f"algo.{name}" for name in _OF_AMP}
    | {
        f.name: f"engine.{f.name}"
        for f in dataclasses.fields(EngineConfig)
        if f.name not in _OF_ENGINES
    }
)
"""Old name of a key -> its path today."""

MEANINGS = {
    "max_action_latency": "engine.action_latency_range=[0,{}]",
    "logger_backend": "logger={}",
    "wandb_project": "logger.wandb_project={}",
}
"""Old name of a key -> the override that it is short for, with its value in place of {}."""

RUN_MODES = {
    "train": "",
    "view": "run_model_viewer=true",
    "view_motion": "run_model_viewer=true",
    "collect_dataset": "collect_dataset=true",
}
"""Value of the reference's `run_mode` -> the override that means it."""


def old_names(key: str) -> list[str]:
    """What a key was called before, or is short for; not its own name without the section.

    Args:
        key: its path today.
    """
    pairs = [*ALIASES.items(), *ALIASES_OF_TRAIN.items()]
    moved = [old for old, new in pairs if new == key and not key.endswith(f".{old}")]
    short = [old for old, meaning in MEANINGS.items() if meaning.partition("=")[0] == key]
    modes = [f"run_mode={mode}" for mode, typed in RUN_MODES.items() if typed == f"{key}=true"]
    return moved + short + modes
