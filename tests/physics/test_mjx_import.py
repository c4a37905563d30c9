"""As where the extra `warp` is not installed."""

import subprocess
import sys

RUN = """
import sys
sys.modules["warp"] = None
from ksim_cli.cli import main
sys.exit(main(sys.argv[1:]))
"""
TINY = (
    "num_envs=2",
    "batch_size=2",
    "rollout_length_frames=2",
    "num_iterations=1",
    "num_episodes=1",
)


def without_warp(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_warp_by_name_is_refused_with_what_to_type(tmp_path):
    arguments = ("train", "task=cartpole", *TINY, "engine=mjx", "engine.impl=warp")
    done = without_warp(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(told) == 1 and "pip install 'ksim[warp]'" in told[0]
    assert "Failed to import" not in done.stdout
    assert not list(tmp_path.glob("runs/*/*"))


def test_who_did_not_ask_for_warp_hears_nothing_of_it():
    code = "import sys; sys.modules['warp'] = None; import ksim_cli.physics.mjx_engine"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
