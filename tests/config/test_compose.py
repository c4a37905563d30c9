import dataclasses

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from ksim_cli import commands
from ksim_cli.cli import main
from ksim_cli.config.components import COMPONENTS, PPOConfig
from ksim_cli.config.options import list_options
from ksim_cli.config.schema import SECTIONS, RunConfig
from ksim_cli.paths import builtin_root
from tests.helpers import run_config


def test_a_task_sets_keys_sections_and_groups():
    config = run_config("task=cartpole")
    assert config.task.name == config.task.type == "cartpole"
    assert config.ctrl_dt == 0.01 and config.num_envs == 256
    assert config.rewards == {"balance": {"type": "cartpole_balance", "weight": 1.0}}
    assert config.actuators["all"]["type"] == "scaled_torque"
    assert config.algo["lam"] == 0.99 and config.algo["gamma"] == PPOConfig.gamma
    assert config.optimizer["learning_rate"] == 2e-3


def test_what_is_typed_wins_over_the_task():
    config = run_config("task=cartpole", "actuators=torque", "ctrl_dt=0.02", "algo.lam=0.5")
    assert config.actuators["all"]["type"] == "torque"
    assert config.ctrl_dt == 0.02 and config.algo["lam"] == 0.5


def test_configs_are_frozen_and_free_of_omegaconf():
    config = run_config("task=cartpole")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3
    for section in (config.algo, config.rewards, config.observations["velocity"]):
        assert type(section) is dict


@pytest.mark.parametrize(
    ("group", "name"),
    [(g, o.name) for g, options in list_options().items() for o in options],
)
def test_every_built_in_option_composes_is_described_and_stays_as_it_is(group, name):
    path = builtin_root() / "configs" / group / f"{name}.yaml"
    before = path.read_bytes()
    override = [] if group == "task" else [f"{group}={name}"]
    override += ["motion.files=[x.npz]"] if name == "amp" else []
    task = f"task={name}" if group == "task" else "task=cartpole"
    assert isinstance(run_config(task, *override), RunConfig)
    assert path.read_bytes() == before
    assert next(o for o in list_options()[group] if o.name == name).description


def test_every_option_with_a_schema_has_a_yaml_and_no_other_key():
    for group, components in COMPONENTS.items():
        for name, schema in components.items():
            path = builtin_root() / "configs" / group / f"{name}.yaml"
            keys = set(yaml.safe_load(path.read_text())) - {"defaults"}
            assert keys <= {f.name for f in dataclasses.fields(schema)}


def test_every_key_says_what_it_means():
    for section in (*SECTIONS, *(s for c in COMPONENTS.values() for s in c.values())):
        for each in dataclasses.fields(section):
            assert each.metadata.get("help"), f"{section.__name__}.{each.name}"
    assert {f.name for s in SECTIONS for f in dataclasses.fields(s)} == {
        f.name for f in dataclasses.fields(RunConfig)
    }


@pytest.fixture
def composed(monkeypatch):
    """Each composition that Hydra is asked for, and what reaches the work."""
    compositions, ran, load = [], [], ConfigLoaderImpl.load_configuration

    def counted(self, *arguments, **keywords):
        compositions.append(keywords)
        return load(self, *arguments, **keywords)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    monkeypatch.setattr(commands, "_train", ran.append)
    return compositions, ran


def test_a_single_job_is_composed_once(project, composed):
    compositions, ran = composed
    assert main(["train", "task=cartpole", "seed=3"]) == 0
    assert len(compositions) == 1 and [config.seed for config in ran] == [3]


def test_a_file_may_still_ask_for_a_sweep(project, composed):
    path = project / "configs" / "task" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "# @package _global_\ndefaults: [/task/cartpole, _self_]\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}\n"
    )
    assert main(["train", "task=mine"]) == 0
    assert [config.seed for config in composed[1]] == [1, 2]
