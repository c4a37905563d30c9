"""Collecting a rollout: the one scan over `env.step`; and replaying it for a recurrent model."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from ksim_cli.models.policy import ActionSample, Observations, PPOVariables, Variables
from ksim_cli.types import Env, StepResult


class Actor(Protocol):
    """What acts."""

    def initial_carry(self, num_envs: int) -> Any:
        """The model's carry at the start of an episode."""
        ...

    def sample_action(
        self, variables: Variables, obs: Observations, carry: Any, key: jax.Array, argmax: bool
    ) -> ActionSample:
        """Acts in all environments."""
        ...

    def value(self, variables: Variables, obs: Observations, carry: Any) -> jax.Array:
        """Values of observations."""
        ...


class Agent(Actor, Protocol):
    """What acts and is trained; `ksim_cli.models.policy.Policy` is one."""

    @property
    def recurrent(self) -> bool:
        """Whether it has a carry, so that its transitions are learned from in order."""
        ...

    def init(self, key: jax.Array) -> Variables:
        """Fresh variables."""
        ...

    def ppo_variables(
        self, variables: Variables, obs: Observations, action: jax.Array, carry: Any
    ) -> PPOVariables:
        """What PPO's loss needs of stored transitions."""
        ...

    def update_statistics(
        self, variables: Variables, obs: Observations, mask: jax.Array
    ) -> Variables:
        """Variables whose statistics have seen more observations."""
        ...


class Rollout(struct.PyTreeNode):
    """T steps of N environments; `[T, N, ...]`.

    Attributes:
        obs: group -> what the networks saw before acting.
        action: the actions.
        log_prob: log density of the actions when acting.
        value: the critic's value of `obs` when acting.
        carry: the model's carry `[N, ...]` before the first step; `replay` finds the others.
        next_value: value of the state that the step led to: 0 after failure or success, that of
            the terminal state after a truncation, that of the next observation otherwise.
        results: what the steps left (`final_obs` only when asked for).
    """

    obs: dict[str, jax.Array]
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    carry: Any
    next_value: jax.Array
    results: StepResult


def collect(
    env: Env,
    agent: Actor,
    variables: Variables,
    start: tuple[Any, Any],
    key: jax.Array,
    num_steps: int,
    argmax: bool = False,
    keep_final_obs: bool = False,
) -> tuple[tuple[Any, Any], Rollout]:
    """Acts for `num_steps` in all environments.

    Args:
        env: the environments.
        agent: what acts.
        variables: the agent's variables.
        start: environment state and model carry to start from.
        key: random key of the actions.
        num_steps: T.
        argmax: the mode of the action distribution instead of a sample.
        keep_final_obs: keep the observation before each reset (for a dataset).

    Returns:
        Environment state and model carry after the rollout, and the rollout.
    """
    env_state, carry = start
    fresh = agent.initial_carry(env.num_envs)

    def step(loop: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], Rollout]:
        env_state, carry = loop
        sample = agent.sample_action(variables, env_state.obs, carry, key, argmax)
        next_state, result = env.step(env_state, sample.action)
        terminal_n = jax.lax.cond(
            result.truncated.any(),
            lambda: agent.value(variables, result.final_obs, sample.carry),
            lambda: jnp.zeros(env.num_envs),
        )
        transition = Rollout(
            obs=env_state.obs,
            action=sample.action,
            log_prob=sample.log_prob,
            value=sample.value,
            carry=(),
            next_value=terminal_n,
            results=result if keep_final_obs else result.replace(final_obs={}),
        )
        return (next_state, _restart(result.done, fresh, sample.carry)), transition

    keys = jax.random.split(key, num_steps)
    env_state = env.begin_rollout(env_state)
    (env_state, after), rollout = jax.lax.scan(step, (env_state, carry), keys)
    last_n = agent.value(variables, env_state.obs, after)
    rollout = rollout.replace(carry=carry, next_value=_next_values(rollout, last_n))
    return (env_state, after), rollout


def replay(
    agent: Agent,
    variables: Variables,
    obs: Observations,
    action: jax.Array,
    carry: Any,
    done: jax.Array,
) -> PPOVariables:
    """What PPO's loss needs of the steps of a rollout, the carry led through them as when acting.

    Args:
        agent: what acted.
        variables: its variables now.
        obs: group -> `[T, N, O]`.
        action: `[T, N, A]`.
        carry: the model's carry `[N, ...]` before the first step.
        done: `[T, N]` bool, the environment was reset after the step, and the carry with it.

    Returns:
        `[T, N]` arrays; no carry.

    Raises:
        TypeError: the agent's `ppo_variables` does not give back a carry.
    """
    fresh = agent.initial_carry(done.shape[1])

    def step(
        carry: Any, inputs: tuple[Observations, jax.Array, jax.Array]
    ) -> tuple[Any, PPOVariables]:
        obs, action, done_n = inputs
        now = agent.ppo_variables(variables, obs, action, carry)
        if jax.tree.structure(now.carry) != jax.tree.structure(carry):
            raise TypeError("ppo_variables of a recurrent model gives back no carry of its kind")
        return _restart(done_n, fresh, now.carry), now.replace(carry=())

    return jax.lax.scan(step, carry, (obs, action, done))[1]


def _restart(done_n: jax.Array, fresh: Any, carry: Any) -> Any:
    """The carry, anew where an episode ended."""
    return jax.tree.map(
        lambda a, b: jnp.where(done_n.reshape(-1, *[1] * (a.ndim - 1)), a, b), fresh, carry
    )


def _next_values(rollout: Rollout, last_n: jax.Array) -> jax.Array:
    """`[T, N]` the value of the state that each step led to, see `Rollout.next_value`."""
    results = rollout.results
    following_tn = jnp.concatenate([rollout.value[1:], last_n[None]])
    alive_tn = jnp.where(results.done, 0.0, following_tn)
    return jnp.where(results.truncated, rollout.next_value, alive_tn)


class ZeroAgent:
    """Zero action, zero value: what the burn-in acts with.

    Args:
        action_size: elements of an action.
    """

    recurrent = False

    def __init__(self, action_size: int) -> None:
        self._action_size = action_size

    def initial_carry(self, num_envs: int) -> tuple[()]:
        """No carry."""
        del num_envs
        return ()

    def sample_action(
        self, variables: Any, obs: Observations, carry: Any, key: jax.Array, argmax: bool
    ) -> ActionSample:
        """Zeros."""
        del variables, key, argmax
        n = next(iter(obs.values())).shape[0]
        zeros = jnp.zeros(n)
        return ActionSample(
            action=jnp.zeros((n, self._action_size)), log_prob=zeros, value=zeros, carry=carry
        )

    def value(self, variables: Any, obs: Observations, carry: Any) -> jax.Array:
        """Zeros."""
        del variables, carry
        return jnp.zeros(next(iter(obs.values())).shape[0])


class RandomAgent(ZeroAgent):
    """Actions uniform in [-1, 1], whatever is seen."""

    def sample_action(
        self, variables: Any, obs: Observations, carry: Any, key: jax.Array, argmax: bool
    ) -> ActionSample:
        """Random actions; there is no mode."""
        sample = super().sample_action(variables, obs, carry, key, argmax)
        return sample.replace(action=jax.random.uniform(key, sample.action.shape, minval=-1.0))
