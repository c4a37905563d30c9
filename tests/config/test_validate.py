import dataclasses

import pytest

from ksim_cli.config.components import COMPONENTS, EngineConfig, PPOConfig
from ksim_cli.config.schema import RunConfig
from ksim_cli.config.validate import complete, validate
from ksim_cli.errors import UserError
from ksim_cli.option import refusal
from ksim_cli.registry import make
from tests.helpers import run_config


@pytest.fixture(scope="module")
def good():
    return run_config("task=cartpole")


def check(config):
    """What becomes of the keys of a composed config."""
    validate(make(RunConfig, dataclasses.asdict(config), ""))


def test_a_good_config_passes(good):
    check(good)


@pytest.mark.parametrize(("ctrl_dt", "dt"), [(0.02, 0.007), (0.02, 0.03), (0.001, 0.002)])
def test_a_control_step_is_a_whole_number_of_physics_steps(good, ctrl_dt, dt):
    with pytest.raises(UserError, match="must be a multiple of dt"):
        check(dataclasses.replace(good, ctrl_dt=ctrl_dt, dt=dt))


@pytest.mark.parametrize(("ctrl_dt", "dt"), [(0.02, 0.004), (0.03, 0.01), (0.1, 0.1 / 3)])
def test_rounding_is_no_mistake(good, ctrl_dt, dt):
    check(dataclasses.replace(good, ctrl_dt=ctrl_dt, dt=dt))


def test_all_complaints_come_at_once(good):
    with pytest.raises(UserError) as error:
        engine = EngineConfig(num_threads=-1)
        check(dataclasses.replace(good, seed=-1, solver="pgs", render_fps=0, engine=engine))
    assert len(str(error.value).splitlines()) == 4


@pytest.mark.parametrize("keys", [{"type": "mjx"}, {"type": "auto"}, {"impl": "warp"}])
def test_keys_of_warp_go_with_what_may_be_warp(good, keys):
    check(dataclasses.replace(good, engine=EngineConfig(**keys, naconmax=5, njmax=5)))


def test_one_environment_is_enough(good):
    check(dataclasses.replace(good, num_envs=1, batch_size=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_envs": 10, "batch_size": 4}, "Nearest: 2, 5"),
        ({"num_envs": 4, "batch_size": 100}, "Nearest: 2, 4"),
        ({"num_envs": 10**18, "batch_size": 3}, "must divide num_envs"),
        ({"reward_clip_min": 1.0, "reward_clip_max": 0.0}, "is larger than reward_clip_max"),
        ({"reward_clip_min": float("nan")}, "reward_clip_min=nan: must be finite"),
        ({"render_lookat": [0.0, 0.0, float("inf")]}, "render_lookat=[0.0, 0.0, inf]: must be"),
        (
            {"engine": EngineConfig(type="mujoco", impl="warp")},
            "engine.impl=warp: is of engine=mjx, got engine=mujoco. Type engine=mjx",
        ),
        (
            {"engine": EngineConfig(type="mjx", impl="jax", naconmax=5)},
            "engine.naconmax=5: is of engine.impl=warp, got engine.impl=jax",
        ),
        (
            {"engine": EngineConfig(type="mujoco", graph_mode="none")},
            "engine.graph_mode=none: is of engine.impl=warp, got engine=mujoco",
        ),
        ({"engine": EngineConfig(njmax=0)}, "engine.njmax=0: must be at least 1"),
        ({"engine": EngineConfig(num_threads=-1)}, "engine.num_threads=-1: must be at least 0"),
        (
            {"engine": EngineConfig(action_latency_range=[0.02, 0.01])},
            "engine.action_latency_range=[0.02, 0.01]: must be [shortest, longest]",
        ),
        (
            {"engine": EngineConfig(action_latency_range=[0.02])},
            "must be [shortest, longest]",
        ),
        (
            {"engine": EngineConfig(action_latency_range=[-0.01, 0.01])},
            "engine.action_latency_range=[-0.01, 0.01]: must be at least 0",
        ),
        (
            {"engine": EngineConfig(actuator_update_dt=0.003), "ctrl_dt": 0.012, "dt": 0.002},
            "engine.actuator_update_dt=0.003: must be a multiple of dt=0.002 that divides"
            " ctrl_dt=0.012. Allowed: 0.002, 0.004, 0.006, 0.012",
        ),
        ({"engine": EngineConfig(drop_action_prob=1.0)}, "drop_action_prob=1.0: must be below 1"),
        ({"algo": None}, "algo: none is chosen"),
        ({"seed": 2**32}, "seed=4294967296: must be at most 4294967295"),
    ],
)
def test_what_is_refused(good, changes, message):
    with pytest.raises(UserError) as error:
        check(dataclasses.replace(good, **changes))
    assert message in str(error.value)


def test_every_default_is_within_its_own_limits():
    """Of each key and of each component; only what a task has to choose is missing."""
    for components in COMPONENTS.values():
        for schema in components.values():
            for field in dataclasses.fields(schema):
                assert refusal(field, field.default) is None
    for field in dataclasses.fields(RunConfig):
        if field.default is not dataclasses.MISSING:
            assert refusal(field, field.default) is None


def test_a_component_is_completed_with_its_defaults_and_a_users_own_is_let_be():
    whole = complete({"type": "ppo", "gamma": 1}, "algo")
    assert whole == dataclasses.asdict(PPOConfig(gamma=1.0)) and type(whole["gamma"]) is float
    own = {"type": "mine", "anything": [1]}
    assert complete(own, "algo") is own
    with pytest.raises(UserError, match=r"algo: no parameter 'gama'. Did you mean 'gamma'"):
        complete({"type": "ppo", "gama": 1}, "algo")
