"""A minimal PPO in one file, as one would write it by hand for one cart-pole.

    python -m venv peers && peers/bin/pip install jax optax mujoco mujoco-mjx   # or ksim's own
    peers/bin/python benchmarks/peers/minimal_ppo.py --model tasks/cartpole/cartpole.xml \
        --num-envs 256 --batch-size 64 --unroll-length 32 --num-passes 4 --iterations 100

Few things can be configured and nothing is checked: what is left is what PPO (Schulman et al.
2017) costs in JAX. `init` and `make_update` know nothing of the cart-pole, so that other sizes can
be timed with them. The program trains on raw `mjx.step`, with the observations, the rewards and the
resets of configs/task/cartpole.yaml written out, and an episode that ends after ten seconds.

Arrays of a rollout are `[T, N, ...]`. Progress goes to stderr; the last line on stdout is JSON.
Rates are control steps per second, the median over iterations of one compiled program each; times
are cold, without a compilation cache.
"""

import argparse
import functools
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from itertools import pairwise
from typing import Any

# ruff: noqa: E402 - the time from the start of the program has what is imported in it.
START = time.perf_counter()

import jax
import jax.numpy as jnp
import mujoco
import optax
from mujoco import mjx

VERSIONS = ("jax", "optax", "mujoco", "mujoco-mjx")
CLIP = 0.2
VALUE_COEF = 0.5
GAMMA = 0.99
LAMBDA = 0.99
REWARD_SCALE = 0.1
MAX_TORQUE = 10.0
EPISODE_STEPS = 1000
WARM_UP_ITERATIONS = 2
INTEGRATORS = {
    "euler": mujoco.mjtIntegrator.mjINT_EULER,
    "rk4": mujoco.mjtIntegrator.mjINT_RK4,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
}


def mlp_init(key: jax.Array, sizes: list[int], last_scale: float) -> list[dict[str, jax.Array]]:
    """Orthogonal weights and zero biases."""
    scales = [2.0**0.5] * (len(sizes) - 2) + [last_scale]
    keys = jax.random.split(key, len(scales))
    return [
        {"w": jax.nn.initializers.orthogonal(scale)(k, (m, n)), "b": jnp.zeros(n)}
        for k, scale, m, n in zip(keys, scales, sizes[:-1], sizes[1:], strict=True)
    ]


def mlp(layers: list[dict[str, jax.Array]], x: jax.Array) -> jax.Array:
    for layer in layers[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def init(
    key: jax.Array,
    obs_size: int,
    critic_obs_size: int,
    action_size: int,
    hidden: tuple[int, ...] = (64, 64),
) -> dict[str, Any]:
    """Parameters of an actor and a critic that share nothing."""
    actor_key, critic_key = jax.random.split(key)
    return {
        "actor": mlp_init(actor_key, [obs_size, *hidden, action_size], 0.01),
        "critic": mlp_init(critic_key, [critic_obs_size, *hidden, 1], 1.0),
        "log_std": jnp.zeros(action_size),
    }


def value_of(params: dict[str, Any], critic_obs: jax.Array) -> jax.Array:
    return mlp(params["critic"], critic_obs)[..., 0]


def log_prob_of(params: dict[str, Any], obs: jax.Array, action: jax.Array) -> jax.Array:
    """Log density of a normal whose standard deviation does not depend on what is seen."""
    log_std = params["log_std"]
    z = (action - mlp(params["actor"], obs)) * jnp.exp(-log_std)
    return (-0.5 * z**2 - log_std - 0.5 * jnp.log(2.0 * jnp.pi)).sum(-1)


def loss(params: dict[str, Any], part: dict[str, jax.Array], entropy_coef: float) -> jax.Array:
    """Schulman et al. 2017, eq. 9, with a value that is clipped as the ratio is."""
    ratio = jnp.exp(log_prob_of(params, part["obs"], part["action"]) - part["log_prob"])
    advantage = part["advantage"]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    clipped = jnp.clip(ratio, 1.0 - CLIP, 1.0 + CLIP)
    policy_loss = -jnp.minimum(ratio * advantage, clipped * advantage).mean()
    value, old = value_of(params, part["critic_obs"]), part["value"]
    near = old + jnp.clip(value - old, -CLIP, CLIP)
    target = part["target"]
    value_loss = 0.5 * jnp.maximum((value - target) ** 2, (near - target) ** 2).mean()
    entropy = (params["log_std"] + 0.5 * jnp.log(2.0 * jnp.pi * jnp.e)).sum()
    return policy_loss + VALUE_COEF * value_loss - entropy_coef * entropy


def make_optimizer(learning_rate: float = 2e-3, max_grad_norm: float = 1.0) -> Any:
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.adam(learning_rate))


def make_update(
    num_passes: int, num_minibatches: int, optimizer: Any = None, entropy_coef: float = 0.0
) -> Any:
    """`update(params, opt_state, batch, key) -> (params, opt_state, mean loss)`, jitted.

    `batch` maps obs, critic_obs, action, log_prob, value, advantage and target to `[T, N, ...]`.
    `optimizer.init(params)` makes the first `opt_state`. Both it and `params` are donated.
    """
    optimizer = optimizer or make_optimizer()

    def update(params: Any, opt_state: Any, batch: dict[str, jax.Array], key: jax.Array) -> Any:
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
        size = flat["value"].shape[0]

        def minibatch(learner: Any, index: jax.Array) -> Any:
            params, opt_state = learner
            part = jax.tree.map(lambda x: x[index], flat)
            value, gradients = jax.value_and_grad(loss)(params, part, entropy_coef)
            updates, opt_state = optimizer.update(gradients, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), value

        def one_pass(learner: Any, key: jax.Array) -> Any:
            order = jax.random.permutation(key, size).reshape(num_minibatches, -1)
            return jax.lax.scan(minibatch, learner, order)

        keys = jax.random.split(key, num_passes)
        (params, opt_state), losses = jax.lax.scan(one_pass, (params, opt_state), keys)
        return params, opt_state, losses.mean()

    return jax.jit(update, donate_argnums=(0, 1))


def normalizer_update(stats: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
    """Mean and variance of all that was seen (Chan et al. 1979)."""
    x = x.reshape(-1, x.shape[-1])
    count = stats["count"] + x.shape[0]
    delta = x.mean(0) - stats["mean"]
    mean = stats["mean"] + delta * x.shape[0] / count
    between = delta**2 * stats["count"] * x.shape[0] / count
    squares = stats["var"] * stats["count"] + x.var(0) * x.shape[0] + between
    return {"count": count, "mean": mean, "var": squares / count}


def normalize(stats: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.clip((x - stats["mean"]) * jax.lax.rsqrt(stats["var"] + 1e-8), -10.0, 10.0)


def gae(reward: jax.Array, value: jax.Array, next_value: jax.Array, done: jax.Array) -> jax.Array:
    """Schulman et al. 2016, eq. 16; `next_value` is that of the state before a reset."""

    def backward(advantage: jax.Array, step: Any) -> Any:
        delta, done = step
        advantage = delta + GAMMA * LAMBDA * (1.0 - done) * advantage
        return advantage, advantage

    deltas = reward + GAMMA * next_value - value
    return jax.lax.scan(backward, jnp.zeros_like(value[0]), (deltas, done), reverse=True)[1]


def observe(data: Any) -> jax.Array:
    angle = data.qpos[:, 1:]
    return jnp.concatenate([data.qpos[:, :1], jnp.cos(angle), jnp.sin(angle), data.qvel], axis=-1)


def closeness(x: jax.Array, margin: float) -> jax.Array:
    """1 at zero, 0.1 at the margin: the gaussian tolerance of Tassa et al. 2018."""
    return jnp.exp(jnp.log(0.1) * (x / margin) ** 2)


def reward_of(data: Any, control: jax.Array) -> jax.Array:
    upright = (1.0 + jnp.cos(data.qpos[:, 1])) / 2.0
    centered = (1.0 + closeness(data.qpos[:, 0], 2.0)) / 2.0
    small_control = (4.0 + 1.0 - control[:, 0] ** 2) / 5.0
    small_velocity = (1.0 + closeness(data.qvel[:, 1], 5.0)) / 2.0
    return upright * centered * small_control * small_velocity


def fresh(key: jax.Array, num_envs: int) -> tuple[jax.Array, jax.Array]:
    """Positions and velocities of new episodes."""
    position_key, velocity_key = jax.random.split(key)
    spread = jnp.array([0.1, 0.034])
    qpos = spread * jax.random.uniform(position_key, (num_envs, 2), minval=-1.0)
    return qpos, 0.01 * jax.random.normal(velocity_key, (num_envs, 2))


def env_step(model: Any, env: dict[str, Any], action: jax.Array, key: jax.Array) -> Any:
    """The environments after a control step, its reward, end and last observation."""
    control = jnp.clip(action, -1.0, 1.0)
    data = env["data"].replace(ctrl=MAX_TORQUE * control)
    data = jax.vmap(mjx.step, in_axes=(None, 0))(model, data)
    last_obs, reward = observe(data), reward_of(data, control)
    age = env["age"] + 1
    done = age >= EPISODE_STEPS
    qpos, qvel = fresh(key, age.shape[0])
    data = data.replace(
        qpos=jnp.where(done[:, None], qpos, data.qpos),
        qvel=jnp.where(done[:, None], qvel, data.qvel),
        qacc_warmstart=jnp.where(done[:, None], 0.0, data.qacc_warmstart),
    )
    return {"data": data, "age": jnp.where(done, 0, age)}, reward, done, last_obs


def collect(model: Any, state: dict[str, Any], key: jax.Array, length: int) -> Any:
    """Acts for `length` steps in all environments."""
    params, stats = state["params"], state["stats"]

    def step(env: Any, key: jax.Array) -> Any:
        action_key, reset_key = jax.random.split(key)
        obs = observe(env["data"])
        seen = normalize(stats, obs)
        mean = mlp(params["actor"], seen)
        noise = jax.random.normal(action_key, mean.shape)
        action = mean + jnp.exp(params["log_std"]) * noise
        env, reward, done, last_obs = env_step(model, env, action, reset_key)
        row = {"raw_obs": obs, "obs": seen, "critic_obs": seen, "action": action}
        row |= {"reward": reward, "done": done, "next_obs": normalize(stats, last_obs)}
        return env, row

    return jax.lax.scan(step, state["env"], jax.random.split(key, length))


def make_train_step(model: Any, update: Any, length: int) -> Any:
    """One iteration; the state is donated."""

    def train_step(state: dict[str, Any]) -> tuple[dict[str, Any], jax.Array]:
        key, rollout_key, update_key = jax.random.split(state["key"], 3)
        params = state["params"]
        env, rows = collect(model, state, rollout_key, length)
        log_prob = log_prob_of(params, rows["obs"], rows["action"])
        value = value_of(params, rows["critic_obs"])
        next_value = value_of(params, rows["next_obs"])
        advantage = gae(REWARD_SCALE * rows["reward"], value, next_value, rows["done"])
        batch = {name: rows[name] for name in ("obs", "critic_obs", "action")}
        batch |= {"log_prob": log_prob, "value": value}
        batch |= {"advantage": advantage, "target": advantage + value}
        params, opt_state, _ = update(params, state["opt_state"], batch, update_key)
        stats = normalizer_update(state["stats"], rows["raw_obs"])
        state = {"params": params, "opt_state": opt_state, "stats": stats, "env": env, "key": key}
        return state, rows["reward"].mean()

    return jax.jit(train_step, donate_argnums=0)


def make_state(arguments: argparse.Namespace, model: mujoco.MjModel, optimizer: Any) -> Any:
    n = arguments.num_envs
    key, params_key, env_key = jax.random.split(jax.random.key(arguments.seed), 3)
    data = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), mjx.make_data(model, impl="jax")
    )
    qpos, qvel = fresh(env_key, n)
    size = 2 * model.nq + model.nv - 1
    params = init(params_key, size, size, model.nu, tuple(arguments.hidden))
    return {
        "params": params,
        "opt_state": optimizer.init(params),
        "stats": {"count": jnp.array(1e-4), "mean": jnp.zeros(size), "var": jnp.ones(size)},
        "env": {"data": data.replace(qpos=qpos, qvel=qvel), "age": jnp.zeros(n, jnp.int32)},
        "key": key,
    }


def load(arguments: argparse.Namespace) -> mujoco.MjModel:
    """The model, with what was asked of its physics."""
    model = mujoco.MjModel.from_xml_path(arguments.model)
    if arguments.integrator:
        model.opt.integrator = INTEGRATORS[arguments.integrator]
    model.opt.iterations = arguments.solver_iterations or model.opt.iterations
    model.opt.ls_iterations = arguments.ls_iterations or model.opt.ls_iterations
    return model


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains; returns what was measured."""
    model = load(arguments)
    optimizer = make_optimizer()
    num_minibatches = arguments.num_envs // arguments.batch_size
    update = make_update(arguments.num_passes, num_minibatches, optimizer)
    step = make_train_step(mjx.put_model(model, impl="jax"), update, arguments.unroll_length)
    make = functools.partial(make_state, arguments, model, optimizer)
    begin = time.perf_counter()
    state = jax.jit(make)()
    step = step.lower(state).compile()
    ends, rewards = [time.perf_counter()], []
    for iteration in range(arguments.iterations):
        state, reward = step(state)
        rewards.append(float(reward))
        ends.append(time.perf_counter())
        if iteration % 10 == 0:
            print(f"iteration {iteration}: reward {rewards[-1]:.3f}", file=sys.stderr, flush=True)
    seconds = [end - start for start, end in pairwise(ends)][WARM_UP_ITERATIONS:]
    iteration_steps = arguments.num_envs * arguments.unroll_length
    return {
        "integrator": mujoco.mjtIntegrator(model.opt.integrator).name,
        "solver_iterations": model.opt.iterations,
        "ls_iterations": model.opt.ls_iterations,
        "env_steps_per_s": iteration_steps / statistics.median(seconds),
        "compile_s": ends[0] - begin,
        "first_step_s": ends[1] - START,
        "total_s": ends[-1] - START,
        "iteration_env_steps": iteration_steps,
        # Every episode starts upright: the reward falls until the policy learns.
        "lowest_reward": min(rewards),
        "last_reward": statistics.mean(rewards[-5:]),
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", default="tasks/cartpole/cartpole.xml", help="the cart-pole")
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=64, help="environments per minibatch")
    parser.add_argument("--unroll-length", type=int, default=32)
    parser.add_argument("--num-passes", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--integrator", choices=INTEGRATORS, help="None: as the model says")
    parser.add_argument("--solver-iterations", type=int, help="None: as the model says")
    parser.add_argument("--ls-iterations", type=int, help="None: as the model says")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64], help="of both networks")
    parser.add_argument("--device", choices=("cpu", "cuda", "tpu"), help="None: as JAX chooses")
    parser.add_argument("--cpu", dest="device", action="store_const", const="cpu")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.num_envs % arguments.batch_size:
        parser.error("num-envs is not a multiple of batch-size")
    if arguments.iterations <= WARM_UP_ITERATIONS:
        parser.error(f"--iterations: more than {WARM_UP_ITERATIONS}")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    jax.config.update("jax_enable_compilation_cache", False)
    if arguments.device:
        jax.config.update("jax_platforms", arguments.device)
    facts = {
        "benchmark": "minimal_ppo",
        **{name: value for name, value in vars(arguments).items() if name != "device"},
        **train(arguments),
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in VERSIONS},
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
