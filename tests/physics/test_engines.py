import subprocess
import sys

import jax
import mujoco
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics import mjx_backends
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.engines import engine_class, make_engine, resolve_engine
from ksim_cli.registry import ENGINES
from tests.helpers import SMALL


def test_the_engines_are_the_files_named_after_them_with_their_capabilities():
    assert ENGINES.names() == ["mjx", "mujoco"]
    capabilities = {
        name: (engine_class(name).shards, engine_class(name).batches_seeds)
        for name in ENGINES.names()
    }
    assert capabilities == {"mjx": (True, True), "mujoco": (False, False)}


def test_mjx_is_imported_only_when_it_is_asked_for():
    code = (
        "import sys\n"
        "from ksim_cli.physics.engines import engine_class\n"
        "engine_class('mujoco')\n"
        "assert 'mujoco.mjx' not in sys.modules\n"
        "engine_class('mjx')\n"
        "assert 'mujoco.mjx' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_auto_is_mujoco_on_a_machine_without_accelerator():
    assert jax.default_backend() == "cpu"
    assert resolve_engine("auto") == ("mujoco", "")
    assert resolve_engine("auto", "jax") == ("mujoco", "")
    assert resolve_engine("mjx") == ("mjx", "jax")


def test_who_asks_for_warp_gets_mjx():
    for name in ("auto", "mjx"):
        assert resolve_engine(name, "warp") == ("mjx", "warp")


@pytest.mark.parametrize(
    ("nvidia", "installed", "wanted"),
    [(True, True, "warp"), (True, False, "jax"), (False, True, "jax")],
)
def test_auto_is_warp_on_nvidia_where_it_is_installed(monkeypatch, nvidia, installed, wanted):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(mjx_backends, "on_nvidia", lambda: nvidia)
    monkeypatch.setattr(mjx_backends.mjx_warp, "WARP_INSTALLED", installed)
    assert resolve_engine("auto") == ("mjx", wanted)
    assert str(resolve_engine("mjx")) == f"mjx ({wanted})"
    assert resolve_engine("mjx", "jax") == ("mjx", "jax")
    assert str(resolve_engine("mujoco")) == "mujoco"


def test_an_unknown_engine_is_refused():
    model = mujoco.MjModel.from_xml_string(SMALL)
    with pytest.raises(UserError, match="Did you mean 'mujoco'"):
        make_engine("mujco", EngineSpec(model=model, num_envs=1))
