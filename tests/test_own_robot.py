"""The README's own robot: its two files, as they stand there, train with no change to ksim."""

import os
import re
from pathlib import Path

import pytest

from tests.run.commands import ksim

ROOT = Path(__file__).parent.parent
ROBOTS = Path(os.environ.get("KSIM_ROBOTS", ROOT.parent / "shared" / "robots"))
MODEL = ROBOTS / "unitree_go1" / "go1.xml"


def readme_files():
    """Path -> text of every block in the README's section that begins with a path."""
    section = (ROOT / "README.md").read_text("utf-8").split("## Your own robot")[1]
    section = section.split("\n## ")[0]
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", section, flags=re.DOTALL)
    return dict(blocks)


def test_the_readme_shows_two_files_of_at_most_forty_lines():
    files = readme_files()
    assert set(files) == {"tasks/go1/__init__.py", "configs/task/go1.yaml"}
    assert sum(len(text.splitlines()) for text in files.values()) <= 40


@pytest.mark.slow
@pytest.mark.skipif(
    not MODEL.is_file(), reason="the robot is not here; KSIM_ROBOTS names its folder"
)
def test_a_robot_that_ksim_has_never_seen_trains(tmp_path):
    for name, text in readme_files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (tmp_path / "tasks" / "go1" / "unitree_go1").symlink_to(MODEL.parent)
    tiny = ["num_envs=8", "batch_size=4", "rollout_length_frames=8", "num_episodes=2"]
    done = ksim("train", "task=go1", "num_iterations=2", *tiny, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "FL_hip_joint" in done.stdout and "23.7" in done.stdout
    (run,) = (tmp_path / "runs" / "go1").iterdir()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
