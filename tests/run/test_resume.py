"""What is typed on `resume=`, held against the rows and the state that go on."""

import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from ksim_cli.mdp.curricula import Constant, Linear
from ksim_cli.rl.ppo import PPOState
from ksim_cli.run import compile as compiling
from ksim_cli.run.resume import with_typed
from ksim_cli.types import SharedState
from tests.run.commands import TINY, ksim, rows


class Env(struct.PyTreeNode):
    shared: SharedState


class State(struct.PyTreeNode):
    env: Env
    learner: PPOState


def saved(adapted=0.37, level=0.25, opt_state=(), shape=()):
    shared = SharedState(jnp.full(shape, level), jnp.int32(0), jnp.int32(0))
    learner = PPOState(variables=(), opt_state=opt_state, kl_coef=jnp.full(shape, adapted))
    return State(Env(shared), learner)


def config(**algo):
    return SimpleNamespace(algo={"kl_coef": 0.01, **algo}, optimizer={"learning_rate": 0.5})


@pytest.mark.parametrize(
    ("adaptive", "typed", "goes_on_with"),
    [
        (True, {"seed"}, 0.37),
        (True, {"algo.kl_coef"}, 0.01),
        (True, {"algo"}, 0.01),
        (False, {"algo.adaptive_kl"}, 0.01),
        (False, set(), 0.01),
    ],
)
@pytest.mark.parametrize("shape", [(), (3,)])
def test_an_adaptive_coefficient_goes_on_unless_it_is_typed(adaptive, typed, goes_on_with, shape):
    state = with_typed(saved(shape=shape), config(adaptive_kl=adaptive), typed, Linear())
    np.testing.assert_allclose(state.learner.kl_coef, np.full(shape, goes_on_with), rtol=1e-6)
    assert state.learner.kl_coef.dtype == jnp.float32


def test_a_level_that_never_moves_is_the_configured_one_and_one_that_moves_goes_on():
    assert with_typed(saved(), config(), (), Constant(level=0.5)).env.shared.level == 0.5
    assert with_typed(saved(), config(), (), Linear()).env.shared.level == 0.25


@pytest.mark.parametrize(("typed", "rate"), [((), 0.1), (("optimizer.learning_rate",), 0.5)])
def test_a_rate_that_the_optimizer_holds_is_replaced_where_it_is_typed(typed, rate):
    """As of a task whose `get_optimizer` wraps one in `optax.inject_hyperparams`."""
    optimizer = optax.chain(
        optax.clip(1.0), optax.inject_hyperparams(optax.adam)(learning_rate=0.1)
    )
    state = saved(opt_state=optimizer.init({"w": jnp.zeros(2)}))
    state = with_typed(state, config(), typed, Linear())
    held = optax.tree.get(state.learner.opt_state, "learning_rate")
    np.testing.assert_allclose(held, rate, rtol=1e-6)
    assert jax.tree.structure(state) == jax.tree.structure(
        saved(opt_state=optimizer.init({"w": jnp.zeros(2)}))
    )


@pytest.fixture
def copy(finished, tmp_path):
    """A run of two iterations that may be changed."""
    shutil.copytree(finished.run, tmp_path / "run")
    return tmp_path


@pytest.fixture
def uncompiled(monkeypatch):
    """Fails where something is compiled."""

    def fail(*_, **__):
        raise AssertionError("something is compiled")

    monkeypatch.setattr(compiling, "assert_fixed_point", fail)
    monkeypatch.setattr(compiling, "measure", fail)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("observations.more={type: joint_velocity}", "observations.more.type=joint_velocity (the"),
        ("~observations.velocity", "observations.velocity.type=null (the run has joint_velocity)"),
        ("engine.action_latency_range=[0,0.03]", "engine.action_latency_range=[0.0, 0.03] (the"),
        ("events.push={type: push, interval: [1, 2], speed: [0, 1]}", "events.push"),
        ("model.hidden_size=16", "model.hidden_size=16 (the run has 64)"),
    ],
)
def test_what_does_not_fit_the_saved_state_is_refused_before_compiling(
    copy, uncompiled, typed, told
):
    before = (copy / "run" / "config.yaml").read_bytes()
    done = ksim("train", "resume=run", "num_iterations=3", typed, cwd=copy, check=2)
    assert told in done.stderr and "Traceback" not in done.stderr
    assert (copy / "run" / "config.yaml").read_bytes() == before


def test_after_the_end_of_a_run_what_has_no_effect_is_named(copy, uncompiled):
    typed = ("resume=run", "max_env_steps=9000000", "algo.gamma=0.5")
    done = ksim("train", *typed, cwd=copy, check=0)
    assert "Raise num_iterations=2 to train further" in done.stdout
    assert "without effect, as there is nothing to do: algo.gamma=0.5 (the run has" in done.stdout
    done = ksim("train", "resume=run", "model=gru", "max_env_steps=9000000", cwd=copy, check=2)
    assert "model.type=gru (the run has mlp)" in done.stderr
    assert "nothing to do" not in done.stdout


@pytest.mark.slow
def test_a_coefficient_that_is_typed_is_what_the_rows_go_on_with(tmp_path):
    adaptive = ("algo.kl_coef=0.01", "algo.adaptive_kl=true", "algo.desired_kl=1e-6")
    ksim("train", *TINY, *adaptive, "num_iterations=2", "run_dir=run", cwd=tmp_path, check=0)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    ksim("train", "resume=run", "num_iterations=3", cwd=tmp_path, check=0)
    ksim("train", "resume=other", "num_iterations=3", "algo.kl_coef=5", cwd=tmp_path, check=0)
    went_on = [row["kl_coef"] for row in rows(tmp_path / "run")]
    assert went_on[2] > went_on[1] > 0.01, "it rises steadily, the KL being above 1e-6"
    assert 5 < rows(tmp_path / "other")[2]["kl_coef"] < 100
    assert "kl_coef: 5" in (tmp_path / "other" / "config.yaml").read_text()
