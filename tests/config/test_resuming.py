"""Every key of the schema on `resume=`: it takes effect, or is refused by its name."""

import dataclasses

import pytest
import yaml

from ksim_cli import commands
from ksim_cli.cli import main
from ksim_cli.config.components import COMPONENTS, AMPConfig, PPOConfig, RetargetConfig
from ksim_cli.config.resuming import REFUSED, changes, refuse_changes, told_change
from ksim_cli.config.saved import config_text
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.io.runs import RunFolder
from tests.helpers import run_config

# key -> another value than the cart-pole's; what is typed with it where it needs company.
TAKES_EFFECT = {
    **{"num_iterations": "3", "max_env_steps": "9", "save_every_n_seconds": "7"},
    **{"save_every_n_steps": "3", "epochs_per_log_step": "2", "log_train_metrics": "false"},
    **{"log_to_file": "false", "num_compiled_steps_to_log": "0"},
    **{"profile_memory": "true", "batch_size": "32", "rollout_length_frames": "16"},
    "rollout_length_seconds": "0.5 rollout_length_frames=null",
    **{"observation_limit": "9", "reward_limit": "9"},
    **{"reward_clip_min": "-1", "reward_clip_max": "1", "noisy_groups": "[]"},
    **{"action_clip_max": "2", "ctrl_dt": "0.02", "dt": "0.005", "solver": "cg"},
    **{"integrator": "euler", "iterations": "7", "ls_iterations": "7", "tolerance": "1e-5"},
    **{"disable_euler_damping": "true", "matmul_precision": "high", "compilation_cache": "false"},
    **{"valid_every_n_seconds": "7", "valid_first_n_seconds": "7", "valid_every_n_steps": "7"},
    **{"valid_first_n_steps": "7", "valid_pictures": "false", "render_markers": "false"},
    **{"render_overlay": "false", "render_height_small": "9", "render_width_small": "9"},
    **{"render_full_every_n_steps": "9", "render_full_every_n_seconds": "9"},
    **{"max_values_per_plot": "9", "plot_figsize": "[9,9]", "log_all_images": "true"},
    **{"all_rewards_plot_figsize_multiplier": "9"},
    "exclude_combined_reward_components": "[balance]",
    **{"num_episodes": "7", "eval_length_seconds": "7", "viewer_argmax_action": "false"},
    "live_reward_buffer_size": "7",
    **{"viewer_num_seconds": "7", "viewer_save_renders": "true", "viewer_save_video": "false"},
    **{"render_with_glfw": "true", "render_shadow": "false", "render_reflection": "true"},
    **{"render_contact_force": "true", "render_contact_point": "true", "render_inertia": "true"},
    **{"render_height": "9", "render_width": "9", "render_length_seconds": "9"},
    **{"render_fps": "9", "render_slowdown": "2", "render_track_body_id": "1"},
    **{"render_distance": "9", "render_azimuth": "9", "render_elevation": "9"},
    **{"render_lookat": "[1,1,1]", "render_camera_name": "null", "dataset_num_batches": "9"},
    **{"dataset_groups": "[critic]", "collect_dataset_argmax_action": "true"},
    **{"bench_seconds": "9", "num_devices": "1"},
    **{"engine.type": "mujoco", "engine.impl": "jax", "engine.num_threads": "2"},
    **{"engine.graph_mode": "none", "engine.naconmax": "9", "engine.njmax": "9"},
    **{"engine.action_latency_range": "[0,0.02]", "engine.drop_action_prob": "0.1"},
    **{"engine.drop_action_per_joint": "true", "engine.zero_offset_std": "0.1"},
    **{"engine.zero_offset_mag": "0.1", "engine.actuator_update_dt": "0.01"},
    **{"algo.num_passes": "9", "algo.clip_param": "0.3", "algo.value_loss_coef": "0.3"},
    **{"algo.use_clipped_value_loss": "false", "algo.entropy_coef": "0.1", "algo.kl_coef": "0.1"},
    "algo.adaptive_kl": "true algo.kl_coef=0.1",
    **{"algo.desired_kl": "0.1", "algo.log_clip_value": "1", "algo.gamma": "0.5"},
    **{"algo.lam": "0.5", "algo.normalize_advantages": "false"},
    **{"algo.monte_carlo_returns": "true", "algo.normalize_returns": "false"},
    **{"optimizer.type": "adamw", "optimizer.learning_rate": "1", "optimizer.max_grad_norm": "2"},
    **{"optimizer.beta1": "0.5", "optimizer.beta2": "0.5", "optimizer.eps": "0.5"},
    "optimizer.weight_decay": "0.1 optimizer.type=adamw",
    **{"model.activation": "relu", "model.min_std": "0.1", "model.observation_clip": "5"},
    **{"logger.tensorboard": "true", "logger.wandb": "true", "logger.wandb_project": "mine"},
    **{"curriculum": "linear", "joints": "{slider:{armature:1}}"},
    "actuators": "{all:{gear_ratio:{slider:2}}}",
    **{"observations": "{velocity:{joints:[slider]}}", "rewards": "{balance:{weight:2}}"},
    **{"terminations": "{time_limit:{max_length_seconds:5}}", "events": "{x:{type:push}}"},
    **{"resets": "{velocity:{scale:1}}", "commands": "{x:{type:y}}"},
    "randomization": "{x:{type:y}}",
    **{"motion.files": "[x.npz]", "motion.weights": "[2.0] motion.files=[x.npz]"},
    **{"motion.fps": "30", "motion.joints": "[x]", "motion.loop": "false"},
}
KEPT = {
    **{"task.type": "humanoid", "task.model": "x.xml", "task.home": "x", "task.base": "x"},
    **{"num_envs": "128", "stagger_episodes": "false", "model.type": "gru"},
    **{"model.hidden_size": "16", "model.actor_hidden": "[8]", "model.critic_hidden": "[8]"},
    **{"model.actor_groups": "[critic]", "model.critic_groups": "[actor]"},
    **{"model.distribution": "mixture", "model.num_mixtures": "3", "model.init_std": "0.5"},
    **{"model.normalize_observations": "false", "model.num_hidden_layers": "1"},
    **{"init_from": "x", "init_from_partial": "true"},
}
OF_ANOTHER_COMMAND = {
    **{"seed": "1", "num_seeds": "2", "run_dir": "x", "checkpoint": "x", "policy": "zero"},
    **{"checkpoint_seed": "1", "task.name": "x", "task.extends": "[x]"},
}
NOT_OF_A_RUN = {
    *("resume", "run_model_viewer", "collect_dataset", "dataset_save_path", "dataset_id"),
    *("viewer", "viewer_host", "viewer_port", "dump", "dataset"),
    *("algo.type", "model.num_layers"),  # have one value with this schema, or belong to model=gru
    *(f"algo.{f.name}" for f in dataclasses.fields(AMPConfig) if not hasattr(PPOConfig(), f.name)),
    *("algo.teacher", "algo.teacher_model", "algo.teacher_observations"),  # or to algo=distill
    *("algo.clone_iterations", "algo.warm_up_iterations", "algo.clone_coef"),
    "algo.likelihood_weight",
    *("motion_model", "out", *(f"retarget.{f.name}" for f in dataclasses.fields(RetargetConfig))),
}


def keys():
    for field in dataclasses.fields(RunConfig):
        schemas = [*COMPONENTS.get(field.name, {}).values()]
        if not schemas and dataclasses.is_dataclass(field.type):
            schemas = [field.type]
        inner = {f"{field.name}.{f.name}" for schema in schemas for f in dataclasses.fields(schema)}
        yield from inner or {field.name}


@pytest.fixture
def resumed(project, monkeypatch):
    """A run with a checkpoint; what reaches the training of it: the config and what was typed."""
    run = project / "run"
    (run / "checkpoints" / "00000002").mkdir(parents=True)
    (run / "config.yaml").write_text(config_text(run_config("task=cartpole")))
    monkeypatch.setattr(RunFolder, "has_checkpoint", lambda run: True)
    monkeypatch.setattr(commands, "refuse_missing_packages", lambda logger: None)
    seen = []
    monkeypatch.setattr("ksim_cli.run.train.train", lambda *both: seen.append(both) or 1.0)
    return seen


def ksim(*typed):
    try:
        return main(["train", "resume=run", *typed])
    except SystemExit as left:
        return left.code


def test_no_key_is_forgotten():
    known = TAKES_EFFECT.keys() | KEPT.keys() | OF_ANOTHER_COMMAND.keys() | NOT_OF_A_RUN
    assert set(keys()) == known
    assert set(REFUSED) == {*KEPT, "seed", "num_seeds", "task.name", "task.extends"} | {
        *("algo.type", "algo.disc_groups", "algo.disc_hidden", "algo.teacher"),
        "model.num_layers",
    }


def at(config, key):
    value = config
    for name in key.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


def test_a_key_that_takes_effect_reaches_the_training(resumed, project):
    """Several at once, for each costs a composition; those that exclude one another apart."""
    apart = {"engine.type", "engine.impl", "rollout_length_seconds", "engine.zero_offset_std"}
    before, together = run_config("task=cartpole"), []
    for key, value in TAKES_EFFECT.items():
        if key not in apart and not any(key == t.split("=")[0] for t in together):
            together += [f"{key}={value.split(' ')[0]}"]
    together = [t for t in together if not t.startswith(("engine.graph", "engine.na", "engine.nj"))]
    given = [t for t in together if not t.startswith("rollout")]
    assert ksim(*given) == 0
    for key in apart:
        assert ksim(*f"{key}={TAKES_EFFECT[key]}".split(" ")) == 0
    config, typed = resumed[0]
    for override in given:
        key = override.partition("=")[0]
        assert at(config, key) != at(before, key), key
        assert key in typed or key in ("curriculum",) or any(t.startswith(key) for t in typed), key
    assert len(resumed) == 1 + len(apart)


@pytest.mark.parametrize("key", KEPT)
def test_a_key_that_a_run_keeps_is_refused_with_both_values(resumed, capsys, key):
    typed = (f"{key}={KEPT[key]}",) if key != "model.type" else ("model=gru",)
    if key == "task.model":
        typed = ("task.model=cartpole.xml",)
    before = dict(_flat(yaml.safe_load(config_text(run_config("task=cartpole")))))
    assert ksim(*typed, "max_env_steps=9000000") == 2
    error = capsys.readouterr().err
    assert f"ksim train: {key}=" in error and REFUSED[key] in error and not resumed
    old = yaml.safe_dump(before[key], default_flow_style=True).split("\n")[0]
    assert f"(the run has {old})" in error and "Traceback" not in error


def _flat(value, path=""):
    for name, item in value.items():
        yield f"{path}{name}", item
        if isinstance(item, dict):
            yield from _flat(item, f"{path}{name}.")


@pytest.mark.parametrize("key", OF_ANOTHER_COMMAND)
def test_a_key_of_another_run_or_command_is_refused(resumed, capsys, key):
    assert ksim(f"{key}={OF_ANOTHER_COMMAND[key]}") == 2
    assert f"{key}={OF_ANOTHER_COMMAND[key]}" in capsys.readouterr().err and not resumed


def test_a_run_without_a_checkpoint_starts_afresh_with_whatever_is_typed(resumed, monkeypatch):
    monkeypatch.setattr(RunFolder, "has_checkpoint", lambda run: False)
    assert ksim("model.hidden_size=16") == 0
    assert resumed[0][0].model["hidden_size"] == 16


def test_changes_are_told_by_key(tmp_path):
    config = run_config("task=cartpole")
    path = tmp_path / "config.yaml"
    path.write_text(config_text(config))
    assert changes(config, path) == {}
    refuse_changes(config, path)
    other = dataclasses.replace(config, rewards={}, algo={**config.algo, "gamma": 0.5})
    changed = changes(other, path)
    assert changed["algo.gamma"] == (0.99, 0.5)
    assert changed["rewards.balance.weight"] == (1.0, None)
    assert told_change("algo.gamma", 0.99, 0.5) == "algo.gamma=0.5 (the run has 0.99)"
    with pytest.raises(UserError, match="num_envs=1"):
        refuse_changes(dataclasses.replace(config, num_envs=1), path)
