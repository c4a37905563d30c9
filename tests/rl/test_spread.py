"""Every algorithm, built in and two of the tests' own, on four devices and as one of several seeds."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.run.commands import ROOT


@pytest.fixture(scope="module")
def said():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-m", "tests.rl.spread"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["devices"] == 4
    return told["trained"]


@pytest.mark.parametrize("name", ["ppo", "amp", "distill", "adversarial", "replay"])
@pytest.mark.parametrize("how", ["spread", "second of two seeds"])
def test_what_is_learned_is_what_one_device_learns(said, name, how):
    one, other = said[name]["one"], said[name][how]
    assert one.keys() == other.keys() and len(one["loss"]) == 3
    for key in ("loss", "reward", *(k for k in one if k.startswith("reward/"))):
        np.testing.assert_allclose(other[key], one[key], rtol=1e-4, atol=1e-6, err_msg=key)
    assert len(set(one["loss"])) == 3, "it learns"
