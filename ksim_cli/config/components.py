"""Schemas of the nested sections: the keys of each component that a config group chooses.

Standard library only, so that a mistyped key is found before JAX is imported. The components
themselves live elsewhere and take these objects: `PPOConfig` is read by `ksim_cli.rl.ppo`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksim_cli.config.keys import key

_ACTIVATIONS = ("tanh", "relu", "elu", "silu", "gelu")


@dataclass(frozen=True)
class TaskConfig:
    """`task.*`: which registered task, on which model."""

    name: str = key("", "the chosen option of the group `task`; filled in by ksim")
    type: str = key("", "registered task class; empty: the one named like the option, or `task`")
    model: str = key("", "MJCF file, relative to the task's folder; empty: the task's own choice")


@dataclass(frozen=True)
class EngineConfig:
    """`engine.*`: what steps the physics."""

    type: str = key("auto", "what steps the physics", choices=("auto", "mujoco", "mjx"))
    impl: str = key(
        "auto",
        "implementation of mjx; auto: warp on NVIDIA where it is installed (extra `warp`)",
        choices=("auto", "jax", "warp"),
    )
    graph_mode: str | None = key(
        None,
        "how warp captures CUDA graphs; null: warp on a GPU, none on a CPU",
        choices=("none", "warp", "warp_staged", "warp_staged_ex"),
    )
    naconmax: int | None = key(
        None, "contacts of all environments that warp has room for; null: from the model", least=1
    )
    njmax: int | None = key(
        None, "constraints of an environment that warp has room for; null: from the model", least=1
    )
    num_threads: int = key(0, "threads of the mujoco engine; 0: one per core", least=0)
    action_latency_range: list[float] = key(
        [0.0, 0.0],
        "an action takes effect that much later, drawn per episode; times the level",
        unit="s",
        least=0,
    )
    drop_action_prob: float = key(
        0.0,
        "probability that an action is lost and the last one stays; times the level",
        least=0,
        below=1,
    )
    drop_action_per_joint: bool = key(False, "each joint loses its part of an action by itself")
    zero_offset_std: float | None = key(
        None, "std of the joints' zero offset, per episode; times the level", unit="rad", above=0
    )
    zero_offset_mag: float | None = key(
        None, "half width of a uniform zero offset, added to it", unit="rad", above=0
    )
    actuator_update_dt: float | None = key(
        None, "time between two updates of the torques; null: each dt", unit="s", above=0
    )


@dataclass(frozen=True)
class JointMetadata:
    """`joints.<name or pattern>.*`: what is known of a joint beyond the MJCF."""

    kp: float | None = key(None, "position gain", unit="N m/rad", least=0)
    kd: float | None = key(None, "velocity gain", unit="N m s/rad", least=0)
    torque_limit: float | None = key(None, "largest torque of its actuator", unit="N m", above=0)
    armature: float | None = key(None, "reflected inertia of the motor", unit="kg m^2", least=0)
    friction: float | None = key(None, "dry friction", unit="N m", least=0)
    damping: float | None = key(None, "viscous friction", unit="N m s/rad", least=0)
    range: tuple[float, float] | None = key(None, "lowest and highest position", unit="rad")


@dataclass(frozen=True)
class PPOConfig:
    """`algo.*` of `algo=ppo`: proximal policy optimisation (Schulman et al. 2017)."""

    type: str = key("ppo", "registered algorithm")
    num_passes: int = key(4, "passes over each rollout", least=1)
    clip_param: float = key(
        0.2, "clip of the probability ratio, and of the value if clipped", above=0
    )
    value_loss_coef: float = key(0.5, "weight of the value loss", least=0)
    use_clipped_value_loss: bool = key(True, "clip the change of the value as the ratio is clipped")
    entropy_coef: float = key(0.0, "weight of the entropy bonus", least=0)
    kl_coef: float = key(0.0, "weight of the KL penalty between old and new policy", least=0)
    adaptive_kl: bool = key(False, "steer kl_coef so that the KL stays near desired_kl")
    desired_kl: float = key(0.01, "KL per update that adaptive_kl aims at", unit="nat", above=0)
    log_clip_value: float = key(5.0, "clip of the log of the probability ratio", above=0)
    gamma: float = key(0.99, "discount per control step", least=0, most=1)
    lam: float = key(0.95, "GAE: 1 is low bias and high variance, 0 the reverse", least=0, most=1)
    normalize_advantages: bool = key(True, "zero mean and unit variance over each minibatch")
    monte_carlo_returns: bool = key(False, "value targets are discounted returns instead of GAE's")
    normalize_returns: bool = key(True, "divide rewards by the running std of their return")


@dataclass(frozen=True)
class OptimizerConfig:
    """`optimizer.*` of `optimizer=adam|adamw`."""

    type: str = key("adam", "registered optimizer")
    learning_rate: float = key(3e-4, "step size", above=0)
    max_grad_norm: float | None = key(
        1.0, "clip of the gradient's global norm; null: no clip", above=0
    )
    beta1: float = key(0.9, "decay of the first moment", least=0, below=1)
    beta2: float = key(0.999, "decay of the second moment", least=0, below=1)
    eps: float = key(1e-8, "added to the denominator", above=0)
    weight_decay: float = key(0.0, "decoupled weight decay (adamw)", least=0)


@dataclass(frozen=True)
class ActorCriticConfig:
    """What `model.*` holds whichever network is chosen."""

    type: str = key("", "registered model")
    actor_groups: list[str] = key(["actor"], "observation groups that the actor sees")
    critic_groups: list[str] = key(
        ["critic"], "observation groups that the critic sees; []: there is no critic"
    )
    hidden_size: int = key(64, "width of each hidden layer", least=1)
    actor_hidden: list[int] | None = key(
        None, "width of each of the actor's hidden layers, in place of the short form", least=1
    )
    critic_hidden: list[int] | None = key(
        None, "width of each of the critic's hidden layers, in place of the short form", least=1
    )
    activation: str = key("tanh", "between the layers", choices=_ACTIVATIONS)
    distribution: str = key(
        "normal",
        "of the actions; tanh_normal keeps them within [-1, 1]",
        choices=("normal", "tanh_normal", "mixture"),
    )
    num_mixtures: int = key(5, "normal distributions in each element's mixture", least=1)
    init_std: float = key(1.0, "initial standard deviation of the actions", above=0)
    min_std: float = key(1e-3, "lower bound of that standard deviation", above=0)
    normalize_observations: bool = key(True, "running mean and variance of the observations")
    observation_clip: float = key(10.0, "clip of normalised observations", unit="std", above=0)


@dataclass(frozen=True)
class MLPConfig(ActorCriticConfig):
    """`model.*` of `model=mlp`: actor and critic of the same shape, sharing nothing."""

    type: str = key("mlp", "registered model")
    num_hidden_layers: int = key(2, "hidden layers", least=0)


@dataclass(frozen=True)
class GRUConfig(ActorCriticConfig):
    """`model.*` of `model=gru`: actor and critic with a memory each, sharing nothing."""

    type: str = key("gru", "registered model")
    num_layers: int = key(1, "layers of gated recurrent units", least=1)


@dataclass(frozen=True)
class LoggerConfig:
    """`logger.*`: where scalars go besides the run folder's metrics.jsonl."""

    tensorboard: bool = key(False, "also write TensorBoard event files (extra `tensorboard`)")
    wandb: bool = key(False, "also log to Weights & Biases (extra `wandb`)")
    wandb_project: str = key("ksim", "project at Weights & Biases")


COMPONENTS: Mapping[str, Mapping[str, Any]] = {
    "engine": {"auto": EngineConfig, "mujoco": EngineConfig, "mjx": EngineConfig},
    "algo": {"ppo": PPOConfig},
    "optimizer": {"adam": OptimizerConfig, "adamw": OptimizerConfig},
    "model": {"mlp": MLPConfig, "gru": GRUConfig},
}
"""Schema of each built-in option of the groups whose sections have one: group -> name -> class."""
