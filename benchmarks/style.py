"""How near does a policy move to a motion? AMP beside PPO, with the velocity reward alone.

    python -m benchmarks.style OUTPUT_FOLDER MOTION [--seeds 0,1,2] [KEY=VALUE ...]

`MOTION` is a file or a dataset of `ksim collect`; the overrides are of all runs (`task=quadruped
max_env_steps=5000000 commands.linear_velocity.x_range=[0.6,0.6]`). Trains what is not in the folder
yet, evaluates and records each run, and prints for every seed the distance to the motion and the
speed error. The distance is that of dynamic time warping over joint angles (Sakoe & Chiba 1978, the
symmetric form): rad, root mean square over the joints, per frame.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ksim_cli.motion.clip import WIDTHS
from ksim_cli.motion.files import RawClip, read_motions

ALGORITHMS = ("ppo", "amp")
TRAINED = ("rewards=velocity", "num_iterations=null")
RECORDED = ("num_envs=8", "batch_size=8", "collect_dataset_argmax_action=true")
SKIPPED, SECONDS = 1.0, 4.0
"""s at the beginning of each rollout in which it gets going, and s after them that are compared."""


def warped_distance(one_fj: np.ndarray, other_gj: np.ndarray) -> float:
    """Distance of two motions `[F, J]` and `[G, J]` by dynamic time warping, per frame.

    The cheapest way from both starts to both ends, a step of both counted twice, over F + G.
    """
    cost = np.sqrt(np.square(one_fj[:, None] - other_gj[None]).mean(axis=2))
    total = np.full((len(one_fj) + 1, len(other_gj) + 1), np.inf)
    total[0, 0] = 0.0
    for i, row in enumerate(cost):
        for j, here in enumerate(row):
            total[i + 1, j + 1] = min(
                total[i, j] + 2.0 * here, total[i, j + 1] + here, total[i + 1, j] + here
            )
    return float(total[-1, -1] / sum(cost.shape))


def joint_angles(clip: RawClip) -> np.ndarray:
    """`[F, J]` positions of hinges and slides, in the order of their names.

    A file that does not say what its joints are begins with a free one, as robots do.
    """
    if not clip.joint_types:
        return clip.qpos[:, 7:]
    starts = np.cumsum([0, *(WIDTHS[kind][0] for kind in clip.joint_types)])
    named = sorted(
        (name, start)
        for name, kind, start in zip(clip.joint_names, clip.joint_types, starts, strict=False)
        if WIDTHS[kind][0] == 1
    )
    return clip.qpos[:, [start for _, start in named]]


def compared(clip: RawClip) -> np.ndarray:
    """The part of a clip that is compared, or all of it where it is too short."""
    first, count = round(SKIPPED * clip.fps), round(SECONDS * clip.fps)
    angles = joint_angles(clip)
    return angles[first : first + count] if len(angles) > first + 1 else angles


def distance(rollouts: list[RawClip], motions: list[RawClip]) -> float:
    """Mean over rollouts of the distance to the nearest of the motions."""
    wanted = [compared(motion) for motion in motions]
    each = [min(warped_distance(compared(r), w) for w in wanted) for r in rollouts]
    return float(np.mean(each))


def ksim(*arguments: str) -> None:
    """Run a command of ksim in a process of its own, its output shown."""
    subprocess.run([sys.executable, "-m", "ksim_cli", *arguments], check=True)


def measured(folder: Path, motion: str, algo: str, seed: int, overrides: list[str]) -> Any:
    """Trains one run, where it is not there yet, and measures it."""
    run, data = folder / f"{algo}-{seed}", folder / f"{algo}-{seed}-rollouts"
    asked = [f"motion={motion}"] if algo == "amp" else []
    if not (run / "summary.json").is_file():
        ksim(
            "train", f"algo={algo}", f"seed={seed}", *TRAINED, *overrides, *asked, f"run_dir={run}"
        )
    ksim("eval", f"checkpoint={run}")
    if not data.is_dir():
        frames = "rollout_length_frames=null", f"rollout_length_seconds={SKIPPED + SECONDS}"
        ksim("collect", f"checkpoint={run}", f"dataset_save_path={data}", *RECORDED, *frames)
    evaluated = json.loads((run / "eval.json").read_text("utf-8"))
    return {
        "distance": distance(read_motions(data), read_motions(Path(motion))),
        "speed_error": evaluated.get("command_error/linear_velocity"),
        "episode_length": evaluated.get("episode_length_mean"),
    }


def main() -> None:
    """Prints a table, and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("motion")
    parser.add_argument("--seeds", default="0,1,2")
    arguments, overrides = parser.parse_known_args()
    found, seeds = {}, [int(seed) for seed in arguments.seeds.split(",")]
    for seed in seeds:
        for algo in ALGORITHMS:
            place = arguments.folder.resolve(), str(Path(arguments.motion).resolve())
            found[f"{algo}-{seed}"] = measured(*place, algo, seed, overrides)
    print("| seed | PPO, rad | AMP, rad | AMP / PPO | speed error PPO, AMP, m/s |")
    print("|---|---:|---:|---:|---|")
    for seed in seeds:
        ppo, amp = found[f"ppo-{seed}"], found[f"amp-{seed}"]
        ratio = amp["distance"] / ppo["distance"]
        errors = ", ".join(f"{run['speed_error']:.3f}" for run in (ppo, amp))
        print(
            f"| {seed} | {ppo['distance']:.3f} | {amp['distance']:.3f} | {ratio:.2f} | {errors} |"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
