"""Memory and silence of a training run on a robot with large meshes.

    python -m benchmarks.meshes [--engine mujoco] [--megabytes 60] [--envs 64] [--tiny]

Writes a project with the built-in humanoid dressed in made-up meshes, most of them to look at
and some that collide, trains it for two iterations with its default randomisation, and prints the
peak memory of the process, the time to the line that names the task, and the longest time
without a line.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.programs import ROOT

BODIES = {
    "torso": 0.3,
    "left_thigh": 0.2,
    "right_thigh": 0.2,
    "left_shank": 0.2,
    "right_shank": 0.2,
    "left_upper_arm": 0.1,
    "right_upper_arm": 0.1,
    "left_forearm": 0.1,
    "right_forearm": 0.1,
    "pelvis": 0.15,
}
"""Bodies that are dressed, and about how large, m."""

MESHES_PER_BODY = 3
BYTES_PER_FACE = 50  # of binary STL


def lump(rng: np.random.Generator, faces: int, size: float) -> np.ndarray:
    """A closed uneven surface, `[F, 3, 3]` corners of triangles, m."""
    across = max(4, round(math.sqrt(faces)))
    rows, columns = max(3, across // 2), across
    polar = np.linspace(0.0, np.pi, rows + 1)[:, None]
    around = np.linspace(0.0, 2 * np.pi, columns + 1)[None]
    radius = 0.5 * size * (1.0 + 0.02 * rng.normal(size=(rows + 1, columns + 1)))
    radius[:, -1], radius[[0, -1]] = radius[:, 0], 0.5 * size
    sides = np.stack(np.broadcast_arrays(np.cos(around), np.sin(around), 0.0 * around), axis=-1)
    points = radius[..., None] * (np.sin(polar)[..., None] * sides)
    points[..., 2] = radius * np.cos(polar)
    a, b, c, d = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
    upper, lower = np.stack([a[:-1], b[:-1], c[:-1]], -2), np.stack([a[1:], c[1:], d[1:]], -2)
    return np.concatenate([upper.reshape(-1, 3, 3), lower.reshape(-1, 3, 3)])


def write_stl(path: Path, triangles: np.ndarray) -> None:
    """Write triangles `[F, 3, 3]` as binary STL."""
    rows = np.zeros(len(triangles), np.dtype([("n", "<3f4"), ("v", "<9f4"), ("pad", "<u2")]))
    rows["v"] = triangles.reshape(-1, 9)
    path.write_bytes(bytes(80) + np.uint32(len(rows)).tobytes() + rows.tobytes())


def write_project(folder: Path, megabytes: float) -> None:
    """Write the task `heavy` into a folder: the humanoid with so many MB of meshes."""
    rng = np.random.default_rng(0)
    task, options = folder / "tasks" / "heavy", folder / "configs" / "task"
    task.mkdir(parents=True)
    options.mkdir(parents=True)
    (options / "heavy.yaml").write_text("# @package _global_\ndefaults: [humanoid, _self_]\n")
    xml = (ROOT / "tasks" / "humanoid" / "humanoid.xml").read_text("utf-8")
    faces = int(megabytes * 1e6 / BYTES_PER_FACE / (len(BODIES) * MESHES_PER_BODY))
    for body, size in BODIES.items():
        geoms = ""
        for part in range(MESHES_PER_BODY):
            name = f"{body}_{part}"
            write_stl(task / f"{name}.stl", lump(rng, faces, size))
            xml = xml.replace("</asset>", f'<mesh name="{name}" file="{name}.stl"/></asset>')
            collides = ' conaffinity="1"' if part == 0 else ""
            geoms += f'<geom type="mesh" mesh="{name}" mass="0"{collides}/>'
        xml = xml.replace(f'<body name="{body}"', f'<body name="{body}" ', 1)
        at = xml.index(">", xml.index(f'<body name="{body}" ')) + 1
        xml = xml[:at] + geoms + xml[at:]
    (task / "heavy.xml").write_text(xml, "utf-8")


def watch(command: list[str], folder: Path) -> dict[str, float]:
    """What the program's lines and its memory say; its lines go to standard error, with times."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    start = last = time.monotonic()
    longest, named = 0.0, math.nan
    program = subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE
    )
    assert program.stdout is not None
    for line in program.stdout:
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        if math.isnan(named) and "heavy" in line:
            named = now - start
        print(f"{now - start:6.1f}  {line.rstrip()}", file=sys.stderr, flush=True)
    if program.wait():
        raise SystemExit(f"the run failed with exit status {program.returncode}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "peak_bytes": peak,
        "named_seconds": named,
        "silent_seconds": max(longest, time.monotonic() - last),
        "seconds": time.monotonic() - start,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="mujoco")
    parser.add_argument("--megabytes", type=float, default=60.0, help="of meshes")
    parser.add_argument("--envs", type=int, default=64)
    parser.add_argument("--tiny", action="store_true", help="only check that everything runs")
    arguments = parser.parse_args()
    envs, megabytes = (4, 0.5) if arguments.tiny else (arguments.envs, arguments.megabytes)
    keys = [f"engine={arguments.engine}", f"num_envs={envs}", f"batch_size={envs // 4}"]
    short = ["rollout_length_frames=4", "num_episodes=1"] if arguments.tiny else []
    with tempfile.TemporaryDirectory() as name:
        write_project(Path(name), megabytes)
        command = [sys.executable, "-m", "ksim_cli", "train", "task=heavy", "num_iterations=2"]
        said = watch([*command, *keys, *short], Path(name))
    print(f"peak memory: {said['peak_bytes'] / 2**30:.2f} GiB")
    print(f"the task is named after {said['named_seconds']:.1f} s")
    print(f"longest time without a line: {said['silent_seconds']:.1f} s")
    print(json.dumps(said))


if __name__ == "__main__":
    main()
