"""Schemas of the nested sections: the keys of each component that a config group chooses.

Standard library only, so that a mistyped key is found before JAX is imported. The components
themselves live elsewhere and take these objects: `PPOConfig` is read by `ksim_cli.rl.ppo`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksim_cli.option import option

_ACTIVATIONS = ("tanh", "relu", "elu", "silu", "gelu")


@dataclass(frozen=True)
class TaskConfig:
    """`task.*`: which registered task, on which model."""

    name: str = option("", "the chosen option of the group `task`; filled in by ksim")
    extends: list[str] = option([], "tasks its YAML extends, nearest first; filled in by ksim")
    type: str = option("", "registered task class; empty: the one named like the option, or `task`")
    model: str = option(
        "", "MJCF or URDF file, beside the task or where it is typed; empty: the task's own", "path"
    )
    home: str = option("", "keyframe that episodes start from; empty: home, or the only one")
    base: str = option(
        "", "body that is the robot's base; empty: what the free joint above the driven ones moves"
    )


@dataclass(frozen=True)
class EngineConfig:
    """`engine.*`: what steps the physics."""

    type: str = option("auto", "what steps the physics: auto, mujoco, mjx, or one of your own")
    impl: str = option(
        "auto",
        "implementation of mjx; auto: warp on NVIDIA where it is installed (extra `warp`)",
        choices=("auto", "jax", "warp"),
    )
    graph_mode: str | None = option(
        None,
        "how warp captures CUDA graphs; null: warp on a GPU, none on a CPU",
        choices=("none", "warp", "warp_staged", "warp_staged_ex"),
    )
    naconmax: int | None = option(
        None, "contacts of all environments that warp has room for; null: from the model", ge=1
    )
    njmax: int | None = option(
        None, "constraints of an environment that warp has room for; null: from the model", ge=1
    )
    num_threads: int = option(0, "threads of the mujoco engine; 0: one per core", ge=0)
    action_latency_range: list[float] = option(
        [0.0, 0.0],
        "an action takes effect that much later, drawn per episode; times the level",
        unit="s",
        ge=0,
    )
    drop_action_prob: float = option(
        0.0,
        "probability that an action is lost and the last one stays; times the level",
        ge=0,
        lt=1,
    )
    drop_action_per_joint: bool = option(False, "each joint loses its part of an action by itself")
    zero_offset_std: float | None = option(
        None, "std of the joints' zero offset, per episode; times the level", unit="rad", gt=0
    )
    zero_offset_mag: float | None = option(
        None, "half width of a uniform zero offset, added to it", unit="rad", gt=0
    )
    actuator_update_dt: float | None = option(
        None, "time between two updates of the torques; null: each dt", unit="s", gt=0
    )


@dataclass(frozen=True)
class JointMetadata:
    """`joints.<name or pattern>.*`: what is known of a joint beyond the MJCF."""

    kp: float | None = option(None, "position gain", unit="N m/rad", ge=0)
    kd: float | None = option(None, "velocity gain", unit="N m s/rad", ge=0)
    torque_limit: float | tuple[float, float] | None = option(
        None, "largest torque of its actuator, or the range of it", unit="N m"
    )
    armature: float | None = option(None, "reflected inertia of the motor", unit="kg m^2", ge=0)
    friction: float | None = option(None, "dry friction", unit="N m", ge=0)
    damping: float | None = option(None, "viscous friction", unit="N m s/rad", ge=0)
    range: tuple[float, float] | None = option(None, "lowest and highest position", unit="rad")

    def __post_init__(self) -> None:
        """Refuses limits between which nothing lies."""
        low, high = self.torque_range
        if low > high or self.torque_limit == 0:
            raise ValueError(f"torque_limit={self.torque_limit}: must be above 0, or [low, high]")

    @property
    def torque_range(self) -> tuple[float, float]:
        """Lowest and highest torque, N m or N; infinite where there is no limit."""
        limit = math.inf if self.torque_limit is None else self.torque_limit
        return limit if isinstance(limit, tuple) else (-limit, limit)


@dataclass(frozen=True)
class PPOConfig:
    """`algo.*` of `algo=ppo`: proximal policy optimisation (Schulman et al. 2017)."""

    type: str = option("ppo", "registered algorithm")
    num_passes: int = option(4, "passes over each rollout", ge=1)
    clip_param: float = option(
        0.2, "clip of the probability ratio, and of the value if clipped", gt=0
    )
    value_loss_coef: float = option(0.5, "weight of the value loss", ge=0)
    use_clipped_value_loss: bool = option(True, "clip the value's change as the ratio is clipped")
    entropy_coef: float = option(0.0, "weight of the entropy bonus", ge=0)
    kl_coef: float = option(0.0, "weight of the KL penalty between old and new policy", ge=0)
    adaptive_kl: bool = option(False, "steer kl_coef so that the KL stays near desired_kl")
    desired_kl: float = option(0.01, "KL per update that adaptive_kl aims at", unit="nat", gt=0)
    log_clip_value: float = option(5.0, "clip of the log of the probability ratio", gt=0)
    gamma: float = option(0.99, "discount per control step", ge=0, le=1)
    lam: float = option(0.95, "GAE: 1 is low bias and high variance, 0 the reverse", ge=0, le=1)
    normalize_advantages: bool = option(True, "zero mean and unit variance over each minibatch")
    monte_carlo_returns: bool = option(False, "value targets are discounted returns, not GAE's")
    normalize_returns: bool = option(True, "divide rewards by the running std of their return")


@dataclass(frozen=True)
class AMPConfig(PPOConfig):
    """`algo.*` of `algo=amp`: adversarial motion priors (Peng et al. 2021) on top of PPO."""

    type: str = option("amp", "registered algorithm")
    task_reward_weight: float = option(0.5, "factor of all rewards of the task", ge=0)
    style_reward_weight: float = option(0.5, "weight of the style reward, from 0 to 1 a step", ge=0)
    observations: dict[str, Any] = option(
        {}, "name -> observation term that is added for the discriminator, in its first group"
    )
    disc_groups: list[str] = option(
        ["discriminator"], "observation groups that the discriminator sees, before and after a step"
    )
    disc_observation_clip: float = option(
        10.0, "clip of what the discriminator sees, normalised", unit="std", gt=0
    )
    disc_hidden: list[int] = option([256, 128], "width of its hidden layers", ge=1)
    disc_learning_rate: float = option(1e-4, "step size of its optimizer", gt=0)
    disc_max_grad_norm: float | None = option(
        1.0, "clip of its gradient's global norm; null: no clip", gt=0
    )
    disc_weight_decay: float = option(0.0, "its decoupled weight decay", ge=0)
    disc_num_passes: int = option(1, "its passes over each rollout", ge=1)
    amp_reference_batch_size: int = option(
        32, "steps of the motion in each of its minibatches, in rollouts of one environment", ge=1
    )
    amp_grad_penalty_coef: float = option(
        10.0, "half of it weighs the squared gradient of its score at the motion", ge=0
    )
    amp_reference_noise: float = option(
        0.01, "noise on the motion that it sees; times the level", unit="std", ge=0
    )
    amp_reference_noise_min_multiplier: float = option(
        1.0, "that noise is times the level, but at least times this", ge=0
    )

    def __post_init__(self) -> None:
        """Refuses a discriminator that sees nothing."""
        if not self.disc_groups:
            raise ValueError("disc_groups=[]: it sees something. Type [discriminator]")


@dataclass(frozen=True)
class DistillConfig(PPOConfig):
    """`algo.*` of `algo=distill`: a student imitates a teacher, then goes on with PPO."""

    type: str = option("distill", "registered algorithm")
    teacher: str = option("", "the teacher's run, one of its checkpoints, or latest", "path")
    clone_iterations: int = option(
        100, "iterations in which the student acts and learns what the teacher would do", ge=0
    )
    warm_up_iterations: int = option(10, "iterations after them that the critic alone learns", ge=0)
    clone_coef: float = option(
        0.0, "weight of the imitation beside PPO's loss, after the warm-up", ge=0
    )
    likelihood_weight: float = option(
        0.0, "weight of the reward for what is likely of the teacher, in (0, 1] before it", ge=0
    )
    teacher_model: dict[str, Any] = option({}, "the teacher's networks; filled in by ksim")
    teacher_observations: dict[str, Any] = option({}, "what they see; filled in by ksim")


@dataclass(frozen=True)
class OptimizerConfig:
    """`optimizer.*` of `optimizer=adam|adamw`."""

    type: str = option("adam", "registered optimizer")
    learning_rate: float = option(3e-4, "step size", gt=0)
    max_grad_norm: float | None = option(
        1.0, "clip of the gradient's global norm; null: no clip", gt=0
    )
    beta1: float = option(0.9, "decay of the first moment", ge=0, lt=1)
    beta2: float = option(0.999, "decay of the second moment", ge=0, lt=1)
    eps: float = option(1e-8, "added to the denominator", gt=0)
    weight_decay: float = option(0.0, "decoupled weight decay (adamw)", ge=0)


@dataclass(frozen=True)
class ActorCriticConfig:
    """Keys of `model.*` that every network has."""

    type: str = option("", "registered model")
    actor_groups: list[str] = option(["actor"], "observation groups that the actor sees")
    critic_groups: list[str] = option(
        ["critic"], "observation groups that the critic sees; []: there is no critic"
    )
    hidden_size: int = option(64, "width of each hidden layer", ge=1)
    actor_hidden: list[int] | None = option(
        None, "width of each of the actor's hidden layers, in place of the short form", ge=1
    )
    critic_hidden: list[int] | None = option(
        None, "width of each of the critic's hidden layers, in place of the short form", ge=1
    )
    activation: str = option("tanh", "between the layers", choices=_ACTIVATIONS)
    distribution: str = option(
        "normal",
        "of the actions; tanh_normal keeps them within [-1, 1]",
        choices=("normal", "tanh_normal", "mixture"),
    )
    num_mixtures: int = option(5, "normal distributions in each element's mixture", ge=1)
    init_std: float = option(1.0, "initial standard deviation of the actions, above min_std", gt=0)
    min_std: float = option(1e-3, "lower bound of that standard deviation", gt=0)
    normalize_observations: bool = option(True, "running mean and variance of the observations")
    observation_clip: float = option(10.0, "clip of normalised observations", unit="std", gt=0)


@dataclass(frozen=True)
class MLPConfig(ActorCriticConfig):
    """`model.*` of `model=mlp`: actor and critic of the same shape, sharing nothing."""

    type: str = option("mlp", "registered model")
    num_hidden_layers: int = option(2, "hidden layers", ge=0)


@dataclass(frozen=True)
class GRUConfig(ActorCriticConfig):
    """`model.*` of `model=gru`: actor and critic with a memory each, sharing nothing."""

    type: str = option("gru", "registered model")
    num_layers: int = option(1, "layers of gated recurrent units", ge=1)


@dataclass(frozen=True)
class MotionConfig:
    """`motion.*`: reference motions; `motion=FILE` is short for `motion.files=[FILE]`."""

    files: list[str] = option(
        [],
        ".npz, .h5 and .csv files, or folders that ksim collect wrote; see docs/motion.md",
        "path",
    )
    weights: list[float] = option(
        [], "share of each file in what is drawn; []: as long as it is", ge=0
    )
    fps: float | None = option(
        None, "frames per second; null: what a file says, and a CSV says nothing", "Hz", gt=0
    )
    joints: list[str] = option([], "joints in the order of a file that names none; []: the model's")
    loop: bool = option(True, "a clip begins anew at its end, its base carried on; false: it ends")


@dataclass(frozen=True)
class RetargetConfig:
    """`retarget.*`: how `ksim retarget` brings the points of a motion onto the robot."""

    points: dict[str, str | None] = option(
        {},
        "body or site of the robot -> keypoint, or body or site of the other robot, that it"
        " follows; null: none. Those of the same name follow each other unlisted",
    )
    weights: dict[str, float] = option({}, "body or site -> weight of its distance squared, else 1")
    scale: float | None = option(
        None, "how many times as large as what it follows the robot is; null: found", gt=0
    )
    offset: list[float] = option(
        [0.0, 0.0, 0.0], "x, y, z added to all points once they are scaled", "m"
    )
    orientation_weight: float = option(
        0.01, "of how far a point is turned wrongly, where orientations are known", "m²/rad²", ge=0
    )
    home_weight: float = option(
        1e-6, "of how far a joint is from home: decides what no point does", "m²/rad²", ge=0
    )
    smoothness_weight: float = option(
        1e-5, "of how far a joint moves from one frame to the next", "m²/rad²", ge=0
    )
    ground: bool = option(True, "raise or lower the whole until its lowest point touches the floor")
    overwrite: bool = option(False, "write over a file that is there")


@dataclass(frozen=True)
class LoggerConfig:
    """`logger.*`: where scalars go besides the run folder's metrics.jsonl."""

    tensorboard: bool = option(False, "also write TensorBoard event files (extra `tensorboard`)")
    wandb: bool = option(False, "also log to Weights & Biases (extra `wandb`)")
    wandb_project: str = option("ksim", "project at Weights & Biases")


COMPONENTS: Mapping[str, Mapping[str, Any]] = {
    "engine": {"auto": EngineConfig, "mujoco": EngineConfig, "mjx": EngineConfig},
    "algo": {"ppo": PPOConfig, "amp": AMPConfig, "distill": DistillConfig},
    "optimizer": {"adam": OptimizerConfig, "adamw": OptimizerConfig},
    "model": {"mlp": MLPConfig, "gru": GRUConfig},
}
"""Schema of each built-in option of the groups whose sections have one: group -> name -> class."""


def schema_of(group: str, section: Any) -> Any:
    """Schema of a component's section; None where its type, a user's own, has none here."""
    kind = section.get("type") if isinstance(section, Mapping) else None
    return COMPONENTS.get(group, {}).get(str(kind))
