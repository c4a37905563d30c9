"""How the cost of ksim grows with the environments, the rollout's length and the run's length.

    python benchmarks/scaling.py [--task humanoid] [--engine mujoco] [--tiny]

Prints Markdown tables: time per environment step and memory per environment for 64 to 8192
environments and for rollouts of 8 to 128 steps, and the memory of the process as a run goes on.
"""

import argparse
import json
import resource
import sys
from pathlib import Path

from benchmarks.programs import Program, ksim, run, table

SIZES = (64, 256, 1024, 4096, 8192)
LENGTHS = (8, 24, 64, 128)


def bench(arguments: argparse.Namespace, num_envs: int, length: int) -> dict:
    keys = (f"task={arguments.task}", f"engine={arguments.engine}", f"num_envs={num_envs}")
    sizes = (f"batch_size={num_envs // 4}", f"rollout_length_frames={length}")
    program = Program("ksim", ksim(*keys, *sizes, f"bench_seconds={arguments.seconds}"), "")
    return run(program) or {}


def row(head: str, facts: dict) -> tuple[str, ...]:
    if not facts:
        return (head, *["failed"] * 5)
    names = ("raw", "rollout", "update", "training")
    micro = [f"{1e6 / facts[f'{name}_steps_per_second']:.1f}" for name in names]
    return (head, *micro, f"{facts['bytes_per_env'] / 1024:.1f}")


def memory_of_a_run(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Resident memory of a training process at several iterations of one run."""

    from ksim_cli.config.compose import Start, launch, to_run_config
    from ksim_cli.io.console import silent_console
    from ksim_cli.run.build import make_training_parts
    from ksim_cli.run.compile import compile_training

    rows = []

    def follow(composed: object) -> None:
        config = to_run_config(composed)
        parts = make_training_parts(config)
        compiled = compile_training(parts, 1, silent_console())
        state = compiled.init(config.seed)
        marks = (10, 30, 60, 120) if not arguments.tiny else (1, 2)
        for iteration in range(1, marks[-1] + 1):
            state = compiled.step(state)[0]
            if iteration in marks:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                now = pages * resource.getpagesize() / 2**20
                rows.append((f"{iteration}", f"{now:.0f}"))

    size = ("num_envs=8", "batch_size=4") if arguments.tiny else ()
    launch("train", [f"task={arguments.task}", "engine=mujoco", *size], follow, Start)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="humanoid")
    parser.add_argument("--engine", default="mujoco")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--tiny", action="store_true", help="only check that everything runs")
    arguments = parser.parse_args()
    sizes, lengths = ((8, 16), (4,)) if arguments.tiny else (SIZES, LENGTHS)
    columns = ("raw µs", "rollout µs", "update µs", "training µs", "KiB per environment")
    said = {"sizes": {}, "lengths": {}}
    for num_envs in sizes:
        said["sizes"][num_envs] = bench(arguments, num_envs, 4 if arguments.tiny else 24)
    rows = [row(f"{n}", facts) for n, facts in said["sizes"].items()]
    print(table(("environments", *columns), rows), "\n", flush=True)
    for length in lengths:
        said["lengths"][length] = bench(arguments, sizes[1], length)
    rows = [row(f"{n}", facts) for n, facts in said["lengths"].items()]
    print(table(("steps of a rollout", *columns), rows), "\n", flush=True)
    if sys.platform == "linux":
        said["run"] = memory_of_a_run(arguments)
        print(table(("iteration", "MiB of the process"), said["run"]), "\n", flush=True)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
