"""Physics steps per second of a model, without anything around it.

    python -m venv raw && raw/bin/pip install jax mujoco mujoco-mjx   # or ksim's own environment
    python benchmarks/peers/raw.py --model tasks/humanoid/humanoid.xml --num-envs 1024 \
        --substeps 4 --steps 50 --impl batch

`batch` is `mujoco.batch` on the CPU's cores; `jax` and `warp` are `mjx.step` on JAX's device (warp:
with "mujoco-mjx[warp]"; it runs on CUDA GPUs and, on one core, on CPUs). Controls are random, the
same for every implementation, and change at each control step of `substeps` physics steps. Every
repeat starts from the same states: the model's first keyframe if it has one, joints scattered a
little. The rate is the median over the repeats after one that is not counted. `compile_s` is cold,
but warp keeps its kernels in a cache of its own from one run to the next. Progress goes to stderr;
the last line on stdout is JSON.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import mujoco
import numpy as np

VERSIONS = {"batch": ("mujoco",), "jax": ("jax", "mujoco", "mujoco-mjx")}
VERSIONS["warp"] = (*VERSIONS["jax"], "warp-lang")
INTEGRATORS = {
    "euler": mujoco.mjtIntegrator.mjINT_EULER,
    "rk4": mujoco.mjtIntegrator.mjINT_RK4,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
}
SCATTER = 0.01


def load(arguments: argparse.Namespace) -> mujoco.MjModel:
    """The model, with what was asked of its physics."""
    model = mujoco.MjModel.from_xml_path(arguments.model)
    if arguments.integrator:
        model.opt.integrator = INTEGRATORS[arguments.integrator]
    model.opt.timestep = arguments.dt or model.opt.timestep
    model.opt.iterations = arguments.solver_iterations or model.opt.iterations
    model.opt.ls_iterations = arguments.ls_iterations or model.opt.ls_iterations
    return model


def start(model: mujoco.MjModel, num_envs: int, seed: int) -> np.ndarray:
    """`[N, nq]` positions to start from; free joints are not scattered."""
    qpos = model.key_qpos[0] if model.nkey else model.qpos0
    qpos = np.tile(qpos, (num_envs, 1))
    scalar = np.isin(
        model.jnt_type, (int(mujoco.mjtJoint.mjJNT_SLIDE), int(mujoco.mjtJoint.mjJNT_HINGE))
    )
    addresses = model.jnt_qposadr[scalar]
    noise = np.random.default_rng(seed).normal(size=(num_envs, len(addresses)))
    qpos[:, addresses] += SCATTER * noise
    return qpos


def controls(model: mujoco.MjModel, arguments: argparse.Namespace) -> np.ndarray:
    """`[K, N, nu]`, uniform within each actuator's range, or within the scale if it has none."""
    limited = model.actuator_ctrllimited.astype(bool)
    low, high = np.where(limited, model.actuator_ctrlrange.T, [[-1.0], [1.0]])
    shape = (arguments.steps, arguments.num_envs, model.nu)
    uniform = np.random.default_rng(arguments.seed + 1).uniform(size=shape)
    return arguments.control_scale * (low + (high - low) * uniform)


def prepare_batch(
    model: mujoco.MjModel, arguments: argparse.Namespace
) -> tuple[Callable[[], float], float]:
    """A repeat on the CPU's threads, which returns its seconds, and the seconds to compile it."""
    from mujoco import batch

    rows = batch.Batch(
        model, arguments.num_envs, nthread=arguments.threads, persistent=arguments.persistent
    )
    control_knu = controls(model, arguments)
    qpos = start(model, arguments.num_envs, arguments.seed)
    ctrl = rows.bind("ctrl")

    def repeat() -> float:
        rows.reset()
        rows.bind("qpos")[:] = qpos
        begin = time.perf_counter()
        for control in control_knu:
            ctrl[:] = control
            rows.step(nstep=arguments.substeps)
        seconds = time.perf_counter() - begin
        if not np.isfinite(rows.bind("qpos")).all():
            raise FloatingPointError("the simulation diverged")
        return seconds

    return repeat, 0.0


def initial_data(model: mujoco.MjModel, arguments: argparse.Namespace) -> Any:
    """An `mjx.Data` of all environments."""
    import jax
    from mujoco import mjx

    sizes = {"naconmax": arguments.naconmax, "njmax": arguments.njmax}
    blank = mjx.make_data(model, impl=arguments.impl, **(sizes if arguments.impl == "warp" else {}))
    qpos = start(model, arguments.num_envs, arguments.seed).astype(np.float32)
    return jax.jit(jax.vmap(lambda row: blank.replace(qpos=row)))(qpos)


def prepare_mjx(
    model: mujoco.MjModel, arguments: argparse.Namespace
) -> tuple[Callable[[], float], float]:
    """A repeat on JAX's device, which returns its seconds, and the seconds to compile it."""
    import jax
    from mujoco import mjx

    jax.config.update("jax_enable_compilation_cache", False)
    device_model = mjx.put_model(model, impl=arguments.impl)
    step = jax.vmap(mjx.step, in_axes=(None, 0))

    def control_step(data: Any, control: Any) -> tuple[Any, None]:
        def substep(data: Any, _: None) -> tuple[Any, None]:
            return step(device_model, data), None

        data = data.replace(ctrl=control)
        return jax.lax.scan(substep, data, None, length=arguments.substeps)[0], None

    def steps(data: Any, control_knu: Any) -> Any:
        return jax.lax.scan(control_step, data, control_knu)[0]

    control_knu = jax.device_put(controls(model, arguments).astype(np.float32))
    data = initial_data(model, arguments)
    begin = time.perf_counter()
    program = jax.jit(steps, donate_argnums=0).lower(data, control_knu).compile()
    compile_s = time.perf_counter() - begin

    def repeat() -> float:
        data = jax.block_until_ready(initial_data(model, arguments))
        begin = time.perf_counter()
        data = jax.block_until_ready(program(data, control_knu))
        seconds = time.perf_counter() - begin
        if not np.isfinite(data.qpos).all():
            raise FloatingPointError("the simulation diverged")
        return seconds

    return repeat, compile_s


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs the repeats; returns what was measured."""
    model = load(arguments)
    prepare = prepare_batch if arguments.impl == "batch" else prepare_mjx
    repeat, compile_s = prepare(model, arguments)
    physics_steps = arguments.num_envs * arguments.steps * arguments.substeps
    first_s = repeat()
    rates = []
    for _ in range(arguments.repeats):
        rates.append(physics_steps / repeat())
        print(f"{rates[-1]:,.0f} physics steps per second", file=sys.stderr, flush=True)
    rate = statistics.median(rates)
    if arguments.impl == "warp":  # its kernels are compiled when they first run
        compile_s += max(0.0, first_s - physics_steps / rate)
    return {
        "integrator": mujoco.mjtIntegrator(model.opt.integrator).name,
        "dt": model.opt.timestep,
        "solver_iterations": model.opt.iterations,
        "ls_iterations": model.opt.ls_iterations,
        "nv": model.nv,
        "physics_steps_per_s": rate,
        "rates": rates,
        "compile_s": compile_s,
    }


def device_name(impl: str) -> str:
    if impl == "batch":
        return "cpu"
    import jax

    return jax.devices()[0].device_kind


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", required=True, help="an MJCF file")
    parser.add_argument("--impl", choices=tuple(VERSIONS), default="batch")
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--substeps", type=int, default=1, help="physics steps per control step")
    parser.add_argument("--steps", type=int, default=50, help="control steps per repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--control-scale", type=float, default=1.0, help="of the control ranges")
    parser.add_argument("--dt", type=float, help="None: as the model says")
    parser.add_argument("--integrator", choices=INTEGRATORS, help="None: as the model says")
    parser.add_argument("--solver-iterations", type=int, help="None: as the model says")
    parser.add_argument("--ls-iterations", type=int, help="None: as the model says")
    parser.add_argument("--threads", type=int, default=0, help="batch: 0 is one per core")
    parser.add_argument("--persistent", action="store_true", help="batch: an MjData for each")
    parser.add_argument("--naconmax", type=int, help="warp: contacts of all environments")
    parser.add_argument("--njmax", type=int, help="warp: constraints of one environment")
    parser.add_argument("--device", choices=("cpu", "cuda", "tpu"), help="None: as JAX chooses")
    parser.add_argument("--cpu", dest="device", action="store_const", const="cpu")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.impl == "warp" and not (arguments.naconmax and arguments.njmax):
        parser.error("--impl warp needs --naconmax and --njmax")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    if arguments.device:
        os.environ["JAX_PLATFORMS"] = arguments.device
    facts = {
        "benchmark": "raw",
        **{name: value for name, value in vars(arguments).items() if name != "device"},
        **measure(arguments),
        "device": device_name(arguments.impl),
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in VERSIONS[arguments.impl]},
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
