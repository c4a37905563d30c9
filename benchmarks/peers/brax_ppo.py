"""Training rate of MuJoCo Playground's environments with brax's PPO, at exactly given sizes.

    python -m venv peers && peers/bin/pip install "jax<0.9" playground brax
    peers/bin/python benchmarks/peers/brax_ppo.py --env CartpoleBalance --num-envs 256 \
        --batch-size 64 --unroll-length 32 --num-passes 4 --num-env-steps 983040

An environment of its own: brax 0.14 calls what later versions of JAX no longer have. For a GPU,
"jax[cuda12]<0.9".

One iteration is `batch_size * num_minibatches * unroll_length` control steps, learned from
`num_passes` times in `num_minibatches` minibatches of `batch_size` sequences each. With the default
of `num-envs / batch-size` minibatches, every environment is unrolled once per iteration.

Nothing but training is timed: no evaluation is run, and the environments are not reset between
epochs. The physics is playground's own model; its options are in the output, because two models of
the same robot cost the same only if integrator and solver iterations agree: run what is compared
with `integrator=euler iterations=1 ls_iterations=4`, say. What decides how well it learns, not how
fast it runs (learning rate, discount, ...), and which observations the networks see, is as
playground tuned it for the environment. An epoch is one call of a compiled program; the rate is the
median over the epochs after those that compiled, and all that the training call took beyond that
rate is `compile_s`, cold, without a compilation cache. (With JAX 0.8 brax compiles its epoch twice;
JAX_PMAP_SHMAP_MERGE=0 in the environment spares it the second time.) Progress goes to stderr; the
last line on stdout is JSON. A rate is control steps per second.
"""

import argparse
import functools
import json
import math
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from itertools import pairwise
from typing import Any

START = time.perf_counter()
VERSIONS = ("jax", "brax", "playground", "mujoco", "mujoco-mjx")
LEARNING = ("reward_scaling", "discounting", "learning_rate", "entropy_cost", "max_grad_norm")
COMPILING_EPOCHS = 2


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--env", default="CartpoleBalance", help="name in playground's registry")
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=64, help="sequences per minibatch")
    parser.add_argument("--num-minibatches", type=int, help="None: num-envs / batch-size")
    parser.add_argument("--unroll-length", type=int, default=32)
    parser.add_argument("--num-passes", type=int, default=4)
    parser.add_argument("--num-env-steps", type=int, default=983_040, help="all epochs together")
    parser.add_argument("--epochs", type=int, default=6, help="timed pieces; the first compiles")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64], help="of both networks")
    parser.add_argument(
        "--own-networks", action="store_true", help="playground's tuned networks instead"
    )
    parser.add_argument("--activation", default="tanh", help="of flax.linen")
    parser.add_argument("--impl", choices=("jax", "warp"), help="None: playground's, jax on a CPU")
    parser.add_argument("--device", choices=("cpu", "cuda", "tpu"), help="None: as JAX chooses")
    parser.add_argument("--cpu", dest="device", action="store_const", const="cpu")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.own_networks:
        arguments.hidden = []
    if arguments.num_minibatches is None:
        arguments.num_minibatches = arguments.num_envs // arguments.batch_size
    sequences = arguments.batch_size * arguments.num_minibatches
    if sequences == 0 or sequences % arguments.num_envs:
        parser.error("batch-size * num-minibatches is not a multiple of num-envs")
    if arguments.epochs <= COMPILING_EPOCHS:
        parser.error(f"--epochs: more than {COMPILING_EPOCHS}, which may compile")
    return arguments


def prepare(device: str | None) -> None:
    """The settings of playground's own training script; before anything imports JAX."""
    if device:
        os.environ["JAX_PLATFORMS"] = device
    if device != "cpu":
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_triton_gemm_any=True".strip()
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"


def tuned(env_name: str, impl: str) -> Any:
    """Playground's PPO parameters of an environment."""
    from mujoco_playground import dm_control_suite, locomotion
    from mujoco_playground.config import (
        dm_control_suite_params,
        locomotion_params,
        manipulation_params,
    )

    params = manipulation_params
    if env_name in dm_control_suite.ALL_ENVS:
        params = dm_control_suite_params
    elif env_name in locomotion.ALL_ENVS:
        params = locomotion_params
    return params.brax_ppo_config(env_name, impl)


def network_factory(params: Any, hidden: list[int], activation: str) -> Any:
    """Networks of the asked sizes, or playground's own; they see what playground shows them."""
    import flax.linen
    from brax.training.agents.ppo import networks

    own = params.get("network_factory", {})
    if not hidden:
        return functools.partial(networks.make_ppo_networks, **own)
    asked = {
        "policy_hidden_layer_sizes": tuple(hidden),
        "value_hidden_layer_sizes": tuple(hidden),
        "activation": getattr(flax.linen, activation),
    }
    return functools.partial(networks.make_ppo_networks, **{**own, **asked})


class Clock:
    """Seconds since the program started, at the end of each epoch."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.ends: list[float] = []

    def __call__(self, env_steps: int, metrics: Any) -> None:
        del metrics
        self.ends.append(time.perf_counter() - START)
        print(f"{env_steps:,} env steps after {self.ends[-1]:.1f} s", file=sys.stderr, flush=True)

    def summary(self, begin: float, iteration_steps: int) -> dict[str, Any]:
        """Times and rates of a training that was called at `begin`."""
        epochs = [end - start for start, end in pairwise([begin, *self.ends])]
        steady = statistics.median(epochs[COMPILING_EPOCHS:])
        return {
            "env_steps_per_s": self.iterations * iteration_steps / steady,
            "epoch_s": epochs,
            "compile_s": sum(epochs[:COMPILING_EPOCHS]) - COMPILING_EPOCHS * steady,
            "first_step_s": self.ends[0] - steady * (1.0 - 1.0 / self.iterations),
            "total_s": self.ends[-1],
        }


def physics_options(env: Any) -> dict[str, Any]:
    """What a step of the physics costs depends on."""
    import mujoco

    option = env.mj_model.opt
    return {
        "ctrl_dt": env.dt,
        "substeps": env.n_substeps,
        "integrator": mujoco.mjtIntegrator(option.integrator).name,
        "solver_iterations": option.iterations,
        "ls_iterations": option.ls_iterations,
        "nv": env.mj_model.nv,
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains; returns what was measured."""
    import jax
    from brax.training.agents.ppo import train as ppo
    from mujoco_playground import registry, wrapper

    imports = time.perf_counter() - START
    jax.config.update("jax_enable_compilation_cache", False)
    config = registry.get_default_config(arguments.env)
    impl = arguments.impl or (config.impl if jax.default_backend() == "gpu" else "jax")
    env = registry.load(arguments.env, config=config, config_overrides={"impl": impl})
    params = tuned(arguments.env, impl)
    iteration_steps = arguments.batch_size * arguments.num_minibatches * arguments.unroll_length
    iterations = math.ceil(arguments.num_env_steps / (arguments.epochs * iteration_steps))
    clock = Clock(iterations)
    begin = time.perf_counter() - START
    ppo.train(
        env,
        num_timesteps=iterations * arguments.epochs * iteration_steps,
        num_envs=arguments.num_envs,
        batch_size=arguments.batch_size,
        num_minibatches=arguments.num_minibatches,
        unroll_length=arguments.unroll_length,
        num_updates_per_batch=arguments.num_passes,
        episode_length=params.episode_length,
        action_repeat=1,
        normalize_observations=True,
        network_factory=network_factory(params, arguments.hidden, arguments.activation),
        wrap_env_fn=wrapper.wrap_for_brax_training,
        # The first of `num_evals` would be before training.
        num_evals=arguments.epochs + 1,
        run_evals=False,
        num_eval_envs=1,
        num_resets_per_eval=0,
        progress_fn=clock,
        seed=arguments.seed,
        **{name: params[name] for name in LEARNING if name in params},
    )
    return {
        "impl": impl,
        **physics_options(env),
        "iteration_env_steps": iteration_steps,
        "iterations_per_epoch": iterations,
        "pmap_shmap_merge": getattr(jax.config, "jax_pmap_shmap_merge", None),
        "import_s": imports,
        **clock.summary(begin, iteration_steps),
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
    }


def main() -> None:
    arguments = parse_arguments()
    prepare(arguments.device)
    asked = {name: value for name, value in vars(arguments).items() if name != "device"}
    facts = {
        "benchmark": "brax_ppo",
        **asked,
        **measure(arguments),
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in VERSIONS},
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
