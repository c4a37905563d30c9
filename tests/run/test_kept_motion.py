"""A run that follows a motion goes on, bit for bit, when the file is gone."""

import mujoco
import numpy as np
import pytest

from ksim_cli.motion.clip import Clip
from ksim_cli.motion.files import write_motion
from ksim_cli.motion.interpolation import differences
from tests.run.commands import ROOT, TINY, course, ksim

pytestmark = pytest.mark.slow
TRACKING = (*TINY, "rewards=tracking", "motion=swing.npz")


@pytest.fixture(scope="module")
def swung(tmp_path_factory):
    """A folder with a motion of the cart-pole, and a run of four iterations that follows it."""
    folder = tmp_path_factory.mktemp("swung")
    model = mujoco.MjModel.from_xml_path(str(ROOT / "tasks/cartpole/cartpole.xml"))
    qpos = 0.2 * np.sin(2 * np.pi * np.arange(51) / 50)[:, None] * [1.0, -0.5]
    clip = Clip("swing", 50.0, qpos, differences(model, qpos, 50.0))
    write_motion(folder / "swing.npz", [clip], model)
    ksim("train", *TRACKING, "num_iterations=4", "run_dir=whole", cwd=folder, check=0)
    return folder


def test_two_and_two_iterations_are_four_without_the_file(swung):
    ksim("train", *TRACKING, "num_iterations=2", "run_dir=parts", cwd=swung, check=0)
    copy = swung / "parts" / "motion" / "0.npz"
    written = copy.stat().st_mtime_ns
    (swung / "swing.npz").rename(swung / "away.npz")
    try:
        ksim("train", "resume=parts", "num_iterations=4", cwd=swung, check=0)
    finally:
        (swung / "away.npz").rename(swung / "swing.npz")
    assert copy.stat().st_mtime_ns == written, "what is read from it is not written again"
    rows = course(swung / "whole")
    assert course(swung / "parts") == rows
    assert {"reward/motion_joint_position", "command_error/motion"} <= rows[0].keys()


def test_it_is_evaluated_without_the_file_and_with_another(swung):
    (swung / "swing.npz").rename(swung / "away.npz")
    try:
        ksim("eval", "checkpoint=whole", cwd=swung, check=0)
        done = ksim("eval", "checkpoint=whole", "motion=other.npz", cwd=swung)
    finally:
        (swung / "away.npz").rename(swung / "swing.npz")
    assert done.returncode == 2 and "motion=other.npz: no such file" in done.stderr
