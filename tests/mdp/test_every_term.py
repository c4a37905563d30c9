"""Every registered term, each parameter given, in environments: compiled, batched, stepped."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli import registry
from ksim_cli.registry import settable_fields
from ksim_cli.types import EpisodeStatistics
from tests.legged import LEGGED
from tests.mdp.every_term import COMMANDS, SCENE, SECTIONS, STRAPPED, sections_of
from tests.motion.motions import swaying
from tests.robot import KINDS, make_env, make_mdp, rollout

REGISTRIES = {
    **KINDS,
    "noise": registry.NOISES,
    "filters": registry.FILTERS,
    "scales": registry.SCALES,
    "curriculum": registry.CURRICULA,
}
SHARED = {"observations": {"groups", "noise", "bias", "delay"}, "commands": {"stages"}}
"""Parameters that are no term's own affair: they are given to one term of their kind."""

FOREIGN = {"rewards": {"cartpole_balance"}}
"""Terms of the built-in tasks, which other tests load."""


@pytest.fixture(autouse=True)
def motion(tmp_path, monkeypatch):
    """A recorded motion, for the reset that reads one."""
    monkeypatch.chdir(tmp_path)
    qpos = np.tile([0, 0, 0.5, 1, 0, 0, 0, 0, 0, 0, 0.0], (3, 1))
    np.savez("motion.npz", qpos=qpos, qvel=np.zeros((3, 10)))


def test_every_kind_of_term_is_here():
    assert set(SECTIONS) == set(REGISTRIES)


@pytest.mark.parametrize("kind", sorted(SECTIONS))
def test_every_parameter_of_every_term_is_given(kind):
    terms = REGISTRIES[kind]
    assert set(terms.names()) - FOREIGN.get(kind, set()) == set(SECTIONS[kind])
    shared = SHARED.get(kind, set())
    built = {name: terms.build(section, name) for name, section in sections_of(kind).items()}
    for name in SECTIONS[kind]:
        own = [term for term in built.values() if terms.name_of(type(term)) == name]
        for field in settable_fields(terms.get(name, name)).values():
            if field.default is not dataclasses.MISSING:
                tried = built.values() if field.name in shared else own
                given = [getattr(term, field.name) for term in tried]
                assert any(x != field.default for x in given), f"{kind}: {name}.{field.name}"


def check(env, steps=6):
    """Plays, and looks at every number that comes out."""
    obs, results, scores = rollout(env, steps)
    for leaf in jax.tree.leaves((obs, results, scores)):
        assert np.isfinite(np.asarray(leaf, float)).all()
    assert not results.quarantined.any()
    for name, values in scores.components.items():
        assert values.shape == (steps, env.num_envs), name
    return obs, results, scores


def test_observations():
    given = sections_of("observations")
    env = make_env(SCENE, observations=given, commands=COMMANDS, motions=swaying)
    obs, _, _ = check(env)
    assert obs["critic"].shape[-1] > 2 * len(given) and obs["actor"].shape[-1] > 2 * len(given)


def test_rewards_and_the_commands_they_read():
    check(make_env(SCENE, rewards=sections_of("rewards"), commands=COMMANDS, motions=swaying))


def test_terminations():
    # The reset that a motion is followed from gives the whole state: it is tried here.
    given = {
        "terminations": sections_of("terminations"),
        "commands": {"moment": COMMANDS["moment"]},
        "resets": {"motion_0": sections_of("resets")["motion_0"]},
    }
    _, results, _ = check(make_env(SCENE, motions=swaying, **given))
    assert results.causes["episode_length_0"].any()


def test_resets():
    # The others follow on what the motion says.
    given = sections_of("resets")
    given = {"motion_state_0": given.pop("motion_state_0"), **given}
    del given["motion_0"]
    end = {"end": {"type": "episode_length", "max_length_seconds": 0.02}}
    _, results, _ = check(make_env(SCENE, resets=given, terminations=end))
    assert len(np.unique(results.steps.view.qpos[..., 0])) > 10


def test_events():
    check(make_env(SCENE, events=sections_of("events")))


def test_commands():
    # A standing gait reads another command.
    read = {"linear_velocity": COMMANDS["linear_velocity"]}
    given = sections_of("commands")
    env = make_env(SCENE, commands={**given, **read}, motions=swaying)
    _, results, scores = check(env)
    assert set(results.steps.commands) == {*given, *read}
    assert set(scores.command_errors) >= {"angular_velocity_0", "base_height_0"}


@pytest.mark.parametrize("name", sorted(sections_of("actuators")))
def test_actuators(name):
    check(make_env(STRAPPED, actuators={"all": sections_of("actuators")[name]}))


def test_filters_and_noises():
    """One filter for each joint, and all noises one after the other, drawn anew and once."""
    joints = ["left_hip", "left_knee", "right_hip", "right_knee"]
    filters = list(sections_of("filters").values())
    noises = list(sections_of("noise").values())
    for chosen, drawn in ((filters[:4], noises), (filters[4:], None)):
        actuators = {
            f"a{i}": {"type": "torque", "joints": [joint], "filters": each}
            for i, (joint, each) in enumerate(zip(joints, chosen, strict=False))
        }
        seen = {"type": "joint_position", "noise": drawn, "bias": drawn}
        check(make_env(actuators=actuators, observations={"q": seen}))


def test_scales():
    scales = sections_of("scales")
    rewards = {name: {"type": "upright", "scale": scale} for name, scale in scales.items()}
    push = {"type": "jump", "interval": [0.01, 0.02], "height": [0.01, 0.02]}
    events = {name: {**push, "scale": scale} for name, scale in scales.items()}
    half = {"type": "constant", "level": 0.5}
    _, _, scores = check(make_env(rewards=rewards, events=events, curriculum=half))
    # 0.5 + 1.5 shape(0.5).
    wanted = {"constant": 0.5, "linear": 1.25, "non_zero": 2.0, "quadratic": 0.875}
    upright = scores.components["constant_0"] / 0.5
    for name, factor in {**wanted, "square_root": 0.5 + 1.5 * np.sqrt(0.5)}.items():
        np.testing.assert_allclose(scores.components[f"{name}_0"], factor * upright, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(sections_of("curriculum")))
def test_curricula(name):
    curriculum = make_mdp(sections_of("curriculum")[name]).curriculum
    env = make_env(curriculum=sections_of("curriculum")[name])
    ended = EpisodeStatistics(*(jnp.float32(x) for x in (4, 20.0, 1.0, 0.5, 2.0)))
    nobody = EpisodeStatistics(*(jnp.float32(x) for x in (0, *[np.nan] * 4)))

    def run(key):
        state, levels = env.init(key), []
        _, result = env.step(state, jnp.zeros((env.num_envs, env.action_size)))
        results = jax.tree.map(lambda x: x[None], result)
        for statistics in (ended, ended, nobody, ended):
            state = env.end_rollout(env.begin_rollout(state), results, statistics)
            levels.append(state.level)
        return jnp.stack(levels)

    levels = np.asarray(jax.jit(run)(jax.random.key(0)))
    assert np.isfinite(levels).all()
    assert (levels >= 0.1 - 1e-6).all() and (levels <= 0.9 + 1e-6).all()
    assert levels[0] == pytest.approx(curriculum.initial_level())


@pytest.mark.parametrize("mode", ["startup", "reset"])
def test_randomizers(mode):
    given = sections_of("randomization", {"mode": mode})
    xml = LEGGED.replace('damping="0.5"', 'damping="0.5" frictionloss="0.1"')
    servos = {"all": {"type": "position", "kp": 20.0, "kd": 1.0}}
    check(make_env(xml, randomization=given, actuators=servos))
