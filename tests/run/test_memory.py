import re

import jax
import jax.numpy as jnp
import mujoco
import pytest

from ksim_cli.errors import MemoryShortError
from ksim_cli.run import memory
from ksim_cli.run.memory import Memory, measure, oom_as_user_error, too_large
from tests.helpers import SMALL, tiny_cartpole
from tests.run.commands import ksim


def test_environments_that_fit_are_counted_beside_what_is_fixed():
    used = Memory(total=1000 + 8 * 250, fixed=1000)
    assert used.per_env(8) == 250
    assert used.largest_fitting(8, limit=5000) == 16
    assert used.largest_fitting(8, limit=5249) == 16
    assert used.largest_fitting(8, limit=900) == 0


@pytest.mark.parametrize(
    ("num_envs", "batch_size", "devices", "says"),
    [
        (64, 4, 1, r"num_envs=12\b"),  # 13 fit, 12 in minibatches of 4
        (64, 8, 4, r"num_envs=56\b"),  # 14 on each of 4 devices
        (64, 16, 1, r"num_envs=8 batch_size=2$"),
    ],
)
def test_the_sentence_says_what_would_fit(num_envs, batch_size, devices, says):
    config = tiny_cartpole(num_envs=num_envs, batch_size=batch_size)
    on_each = num_envs // devices
    used = Memory(total=100 + 100 * on_each, fixed=100)
    text = too_large(config, used, devices, limit=1450 if devices == 1 else 1500)
    assert (
        re.search(says, text) and text.startswith("num_envs=64: does not fit") and "\n" not in text
    )


def test_a_limit_below_the_learner_has_no_number_to_offer():
    text = too_large(tiny_cartpole(), Memory(total=2**31, fixed=2**31 - 50), 1, limit=2**30)
    assert "2.00 GiB of 1.00 GiB" in text and "num_envs=0" not in text


def test_where_the_iteration_would_fit_no_number_is_offered():
    text = too_large(tiny_cartpole(), Memory(total=10, fixed=0), 1, limit=40)
    assert "num_envs=4: does not fit" in text and text.count("num_envs=") == 1


def test_what_xla_says_of_a_program():
    learner = jax.ShapeDtypeStruct((100,), jnp.float32)
    step = jax.jit(lambda w, x: (w + 1, x * 2), donate_argnums=(0, 1))
    compiled = step.lower(learner, jax.ShapeDtypeStruct((8, 250), jnp.float32)).compile()
    used = measure(compiled, learner)
    # Donated: what comes out lies where what went in lay.
    assert used.fixed == 400 and used.total == pytest.approx(400 + 8 * 1000, rel=0.05)


def test_what_is_available_is_some_of_what_the_machine_has():
    assert 2**26 < memory.available() < 2**50


def test_out_of_memory_is_one_sentence_and_other_errors_stay():
    config = tiny_cartpole()
    with (
        pytest.raises(MemoryShortError, match="num_envs=4: does not fit"),
        oom_as_user_error(config, 1),
    ):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes")
    with (
        pytest.raises(MemoryShortError, match="does not fit"),
        oom_as_user_error(config, 1) as refuse,
    ):
        refuse(Memory(total=2**60, fixed=0), None)
        raise MemoryError
    with (
        pytest.raises(MemoryShortError, match=r"takes 2\.00 GiB of 1\.00 GiB"),
        oom_as_user_error(config) as refuse,
    ):
        refuse(Memory(total=2**30, fixed=0), 2**30)
        refuse(Memory(total=2**31, fixed=0), 2**30)
    with pytest.raises(MemoryShortError, match="does not fit"), oom_as_user_error(config):
        raise ValueError("std::bad_alloc")
    for other in (RuntimeError("something else"), ValueError("something else")):
        with pytest.raises(type(other), match="something else"), oom_as_user_error(config, 1):
            raise other


@pytest.mark.slow
def test_a_run_that_cannot_fit_is_refused_before_it_begins(tmp_path):
    size = ("num_envs=1048576", "batch_size=64", "rollout_length_frames=5000")
    done = ksim("train", "task=cartpole", "engine=mujoco", *size, cwd=tmp_path, check=5)
    (line,) = [text for text in done.stderr.splitlines() if text.strip()]
    found = re.search(r"The largest that fits is about num_envs=(\d+)$", line)
    assert 64 <= int(found[1]) < 1048576 and int(found[1]) % 64 == 0
    assert not list((tmp_path / "runs").glob("cartpole/*"))


def test_a_large_model_is_said_to_be_one_before_its_environments_are_made(monkeypatch):
    model, said = mujoco.MjModel.from_xml_string(SMALL), []
    memory.check_model(model, said.append)
    assert said == []
    monkeypatch.setattr(memory, "LARGE_MODEL", model.nbuffer)
    memory.check_model(model, said.append)
    assert re.fullmatch(r"memory: the model .* takes 0\.00 GiB, and the run 0\.00 GiB .*", said[0])
    monkeypatch.setattr(memory, "available", lambda: model.nbuffer)
    with pytest.raises(MemoryShortError, match="Give the task a model with smaller meshes"):
        memory.check_model(model, said.append)
