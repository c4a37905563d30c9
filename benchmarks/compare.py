"""ksim side by side with what one would use instead, in one run.

    python benchmarks/compare.py --peers PYTHON [--gpu] [--repeats 3] [--tiny]

PYTHON is the interpreter of an environment with the peers, which need an older JAX:

    python -m venv peers && peers/bin/pip install "jax<0.9" playground brax

Every program runs alone, in turn, `--repeats` times; the figures are medians. `--gpu` measures
both implementations of MJX at 4096 and 8192 environments on an accelerator (with
`pip install "jax[cuda12]<0.9"` for the peers). `--tiny` only checks that everything runs.
Prints Markdown tables and, last, one line of JSON with everything that was said.
"""

import argparse
import json
import sys

from benchmarks.programs import Program, in_turn, ksim, median, peer, table

# Physics options of playground's CartpoleBalance, which are cheaper than those of ksim's cart-pole.
PLAYGROUND_PHYSICS = ("integrator=euler", "iterations=1", "ls_iterations=4")


def cartpole_on_cpu(arguments: argparse.Namespace) -> list[Program]:
    """Training, 256 environments x 32 steps, 4 minibatches, 4 passes."""
    num_envs, batch, steps = (8, 4, 8) if arguments.tiny else (256, 64, 32)
    total = 12 * num_envs * steps if arguments.tiny else 983_040
    seconds = f"bench_seconds={0.1 if arguments.tiny else 8}"
    size = (f"num_envs={num_envs}", f"batch_size={batch}", f"rollout_length_frames={steps}")
    sizes = ("--num-envs", f"{num_envs}", "--batch-size", f"{batch}", "--unroll-length", f"{steps}")
    sizes = (*sizes, "--num-passes", "4", "--cpu")
    bench = ksim("task=cartpole", "engine=mujoco", seconds, *size)
    brax = peer(arguments.peers, "brax_ppo.py", *sizes, "--num-env-steps", f"{total}")
    minimal = peer(
        sys.executable,
        "minimal_ppo.py",
        *sizes,
        *("--model", "tasks/cartpole/cartpole.xml"),
        *("--iterations", f"{3 if arguments.tiny else 100}"),
    )
    cheap = ("--integrator", "euler", "--solver-iterations", "1", "--ls-iterations", "4")
    rate = "training_steps_per_second"
    return [
        Program("ksim", bench, rate),
        Program("ksim, playground's physics options", [*bench, *PLAYGROUND_PHYSICS], rate),
        Program(
            "playground + brax PPO, its networks", [*brax, "--own-networks"], "env_steps_per_s"
        ),
        Program("playground + brax PPO, ksim's networks", brax, "env_steps_per_s"),
        Program("minimal PPO on MJX", minimal, "env_steps_per_s"),
        Program("minimal PPO on MJX, playground's options", [*minimal, *cheap], "env_steps_per_s"),
    ]


def humanoid_on_cpu(arguments: argparse.Namespace) -> list[Program]:
    """The rollout of ksim's humanoid on both engines, and raw physics."""
    num_envs = 8 if arguments.tiny else 1024
    few = 8 if arguments.tiny else 64
    seconds = f"bench_seconds={0.1 if arguments.tiny else 15}"
    bench = ("task=humanoid", seconds)
    many = (f"num_envs={num_envs}", f"batch_size={num_envs // 4}")
    # MJX on a CPU is as fast with few environments, and would take minutes for a rollout of many.
    small = (f"num_envs={few}", f"batch_size={few // 4}", "rollout_length_frames=8")
    raw = ("--model", "tasks/humanoid/humanoid.xml", "--num-envs", f"{few}", "--substeps", "4")
    raw = (*raw, "--steps", "2" if arguments.tiny else "20", "--repeats", "3")
    rate = "rollout_steps_per_second"
    return [
        Program("ksim rollout, engine=mujoco", ksim(*bench, "engine=mujoco", *many), rate),
        Program("ksim rollout, engine=mjx", ksim(*bench, "engine=mjx", *small), rate),
        Program(
            "raw mujoco.batch (physics steps)",
            peer(sys.executable, "raw.py", *raw, "--impl", "batch"),
            "physics_steps_per_s",
        ),
        Program(
            "raw mjx.step (physics steps)",
            peer(sys.executable, "raw.py", *raw, "--impl", "jax", "--cpu"),
            "physics_steps_per_s",
        ),
    ]


def on_accelerator(arguments: argparse.Namespace) -> list[Program]:
    """Tasks of ksim by implementation and size, and playground's nearest environments."""
    programs = []
    sizes = (8,) if arguments.tiny else (4096, 8192)
    seconds = f"bench_seconds={0.1 if arguments.tiny else 10}"
    impls = ("jax",) if arguments.tiny else ("jax", "warp")
    tasks = ("cartpole",) if arguments.tiny else ("cartpole", "quadruped", "humanoid")
    peers = {"cartpole": ("CartpoleBalance", "32"), "humanoid": ("HumanoidWalk", "24")}
    for num_envs in sizes:
        batch = num_envs // 4
        for task in tasks:
            keys = (f"task={task}", "engine=mjx", f"num_envs={num_envs}", f"batch_size={batch}")
            programs += [
                Program(
                    f"ksim {task}, {impl}, {num_envs}",
                    ksim(*keys, f"engine.impl={impl}", seconds),
                    "training_steps_per_second",
                )
                for impl in impls
            ]
            if task not in peers:
                continue
            if task == "cartpole":
                programs += [
                    Program(
                        f"ksim {task}, playground's options, {impl}, {num_envs}",
                        ksim(*keys, f"engine.impl={impl}", seconds, *PLAYGROUND_PHYSICS),
                        "training_steps_per_second",
                    )
                    for impl in impls
                ]
            env, length = peers[task]
            sized = ("--num-envs", f"{num_envs}", "--batch-size", f"{batch}")
            sized = (*sized, "--unroll-length", length, "--num-passes", "4")
            total = ("--num-env-steps", f"{6 * 10 * num_envs * int(length)}")
            hidden = ("--hidden", "128", "128") if task == "humanoid" else ("--hidden", "64", "64")
            programs += [
                Program(
                    f"playground {env} + brax PPO, {impl}, {num_envs}",
                    peer(
                        arguments.peers,
                        "brax_ppo.py",
                        *("--env", env, "--impl", impl),
                        *sized,
                        *total,
                        *hidden,
                        *(["--cpu"] if arguments.tiny else []),
                    ),
                    "env_steps_per_s",
                )
                for impl in impls
            ]
    return programs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="interpreter of the peers' environment")
    parser.add_argument("--gpu", action="store_true", help="on an accelerator")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="only check that everything runs")
    arguments = parser.parse_args()
    parts = [on_accelerator] if arguments.gpu else [cartpole_on_cpu, humanoid_on_cpu]
    everything = {}
    for part in parts:
        programs = part(arguments)
        said = in_turn(programs, arguments.repeats)
        everything |= said
        first = median(said[programs[0].name], programs[0].rate)
        rows = []
        for program in programs:
            rate = median(said[program.name], program.rate)
            each = ", ".join(f"{facts[program.rate]:,.0f}" for facts in said[program.name])
            rows.append((program.name, f"{rate:,.0f}", f"{first / rate:.2f}", each))
        print(f"\n{part.__doc__.strip()}\n", flush=True)
        print(table(("", "steps/s", "first row / this", "each run"), rows), flush=True)
    print(json.dumps(everything))


if __name__ == "__main__":
    main()
