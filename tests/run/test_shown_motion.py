import dataclasses

import numpy as np
import pytest

from ksim_cli.config.components import MotionConfig
from ksim_cli.motion.chosen import load_motions
from ksim_cli.motion.files import write_motion
from ksim_cli.run.replay import Replay
from ksim_cli.run.session import Wishes
from ksim_cli.run.shown_motion import plays_motion, recording_of
from tests.helpers import tiny_cartpole
from tests.motion.motions import legged, walking
from tests.run.commands import ksim


@dataclasses.dataclass
class Legged:
    """What is asked of a task's model here."""

    motions: object
    model: object
    action_size: int = 4


def test_clips_are_shown_as_episodes_at_the_control_rate(tmp_path):
    write_motion(tmp_path / "two.npz", [walking(), walking(frames=31)], legged())
    motion = MotionConfig(files=[str(tmp_path / "two.npz")])
    config = dataclasses.replace(tiny_cartpole(), motion=motion, ctrl_dt=0.01)
    assert plays_motion(config)
    shown = Legged(load_motions(motion, legged(), 0.01), legged())
    recording = recording_of(config, shown)
    assert recording is not None and recording.count == 2
    replay = Replay(recording, shown.model)
    assert len(replay) == 41
    for i in range(41):
        step = replay.step(Wishes())
        if i % 2 == 0:
            np.testing.assert_array_equal(step.qpos, walking().qpos[i // 2])
    assert step.ended and step.time == pytest.approx(0.41)
    assert replay.step(Wishes()).time == pytest.approx(0.01) and len(replay) == 61
    assert not plays_motion(dataclasses.replace(config, policy="zero"))


def test_a_motion_needs_its_task(tmp_path):
    done = ksim("view", "motion=x.npz", cwd=tmp_path)
    assert done.returncode == 2 and "motion=: which robot it is of" in done.stderr
    done = ksim("train", "run_mode=view_motion", "motion=x.npz", "task=cartpole", cwd=tmp_path)
    assert done.returncode == 2 and "motion=x.npz: no such file" in done.stderr
