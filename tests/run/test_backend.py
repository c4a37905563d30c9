import re
import sys

import jax
import pytest

from ksim_cli.run.backend import cache_folder, prepare
from tests.helpers import tiny_cartpole
from tests.run.commands import TINY, TINY_LIGHT, ksim_process, take_light_engine


@pytest.fixture(autouse=True)
def as_before():
    names = (
        *("jax_default_matmul_precision", "jax_compilation_cache_dir"),
        *("jax_enable_compilation_cache", "jax_compilation_cache_max_size"),
        "jax_persistent_cache_min_compile_time_secs",
    )
    before = {name: jax.config.values[name] for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_precision_is_what_the_key_says(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    for precision in ("high", "highest"):
        prepare(tiny_cartpole(matmul_precision=precision))
        dot = jax.make_jaxpr(lambda x: x @ x)(jax.numpy.ones((2, 2)))
        assert precision.upper() in str(dot)


def test_the_cache_is_in_the_users_folder_for_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform != "darwin":
        assert cache_folder().parent == tmp_path / "ksim"
    assert re.fullmatch(r"jax-\w+-[0-9a-f]{8}", cache_folder().name)


def test_a_job_without_the_cache_has_none_after_one_that_had(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for wanted in (False, True, False, True):
        prepare(tiny_cartpole(compilation_cache=wanted))
        assert jax.config.values["jax_enable_compilation_cache"] is wanted
        assert list(tmp_path.iterdir()) or not wanted
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    prepare(tiny_cartpole(compilation_cache=False))
    assert not list((tmp_path / "other").iterdir()), "nor a folder for one"


def test_a_cache_named_in_jaxs_own_way_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.values["jax_compilation_cache_dir"]
    prepare(tiny_cartpole())
    assert jax.config.values["jax_compilation_cache_dir"] == before and not list(tmp_path.iterdir())


def test_a_home_that_cannot_be_written_to_is_no_obstacle(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    before = jax.config.values["jax_compilation_cache_dir"]
    prepare(tiny_cartpole())
    assert jax.config.values["jax_compilation_cache_dir"] == before


@pytest.mark.slow
def test_a_second_start_finds_its_programs_compiled(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Before JAX 0.11 a program that calls back is never kept.
    size = TINY if jax.__version_info__ >= (0, 11) else TINY_LIGHT
    take_light_engine(tmp_path)
    ksim_process("train", *size, "num_iterations=1", "run_dir=cold", cwd=tmp_path, check=0)
    programs = {path.name for path in (tmp_path / "cache").rglob("*-cache")}
    assert any("iterate" in name for name in programs)
    ksim_process("train", *size, "num_iterations=1", "run_dir=warm", cwd=tmp_path, check=0)
    assert {path.name for path in (tmp_path / "cache").rglob("*-cache")} == programs
