"""The run's keys: flat, under the names users of the reference system know.

One schema serves every command, so a saved config can be read by all of them. Standard library
only. Lists appear as lists: a config file cannot tell a tuple from a list.
"""

from dataclasses import dataclass, field
from typing import Any

from ksim_cli.config.components import EngineConfig, LoggerConfig, TaskConfig
from ksim_cli.config.keys import key


@dataclass(frozen=True)
class ComponentKeys:
    """Sections chosen by config groups, and the tables of terms."""

    task: TaskConfig = field(default_factory=TaskConfig, metadata={"help": "the task"})
    engine: EngineConfig = field(default_factory=EngineConfig, metadata={"help": "the physics"})
    algo: Any = key(None, "the learning algorithm")
    model: Any = key(None, "the networks")
    optimizer: Any = key(None, "the optimizer")
    curriculum: Any = key(None, "how the level of difficulty moves")
    logger: LoggerConfig = field(default_factory=LoggerConfig, metadata={"help": "extra logs"})
    joints: dict[str, Any] = key({}, "joint name or pattern -> gains, limits, friction, armature")
    actuators: dict[str, Any] = key({}, "name -> actuator of some joints")
    observations: dict[str, Any] = key({}, "name -> observation term")
    rewards: dict[str, Any] = key({}, "name -> reward term and its weight")
    terminations: dict[str, Any] = key({}, "name -> termination term")
    resets: dict[str, Any] = key({}, "name -> reset term, applied in order")
    commands: dict[str, Any] = key({}, "name -> command term")
    events: dict[str, Any] = key({}, "name -> event term")
    randomization: dict[str, Any] = key({}, "name -> randomizer of the physics, applied in order")


@dataclass(frozen=True)
class RunKeys:
    """Run control."""

    seed: int = key(0, "root of every random number", least=0, most=2**32 - 1)
    num_seeds: int = key(1, "seeds trained in one program (engine=mjx): seed, seed + 1, …", least=1)
    run_dir: str | None = key(None, "folder of this run; null: runs/<task>/<time>")
    resume: str | None = key(None, "continue a run: its folder, or latest")
    num_iterations: int | None = key(
        None, "stop after this many iterations of the whole run", least=1
    )
    max_env_steps: int | None = key(
        None, "stop after this many control steps of the whole run", least=1
    )
    save_every_n_seconds: float | None = key(600.0, "time between checkpoints", unit="s", above=0)
    save_every_n_steps: int | None = key(None, "iterations between checkpoints", least=1)
    epochs_per_log_step: int = key(
        1, "iterations fused into one dispatch between two log rows", least=1
    )
    log_train_metrics: bool = key(True, "write metrics.jsonl and the extra logs")
    profile_memory: bool = key(False, "write one device memory profile into the run folder")


@dataclass(frozen=True)
class BackendKeys:
    """How JAX computes."""

    matmul_precision: str = key(
        "highest",
        "of matrix products on an accelerator; below highest physics may go wrong",
        choices=("highest", "high", "default"),
    )
    compilation_cache: bool = key(True, "keep compiled programs in the user's cache folder")


@dataclass(frozen=True)
class BenchKeys:
    """Measuring."""

    bench_seconds: float = key(10.0, "time that ksim bench measures for", unit="s", above=0)


@dataclass(frozen=True)
class SimulationKeys:
    """Physics options, applied to the task's model."""

    ctrl_dt: float = key(0.02, "time between two actions", unit="s", above=0)
    dt: float = key(0.004, "physics time step", unit="s", above=0)
    solver: str = key("newton", "constraint solver", choices=("newton", "cg"))
    integrator: str = key("implicitfast", "integrator", choices=("implicitfast", "euler", "rk4"))
    iterations: int = key(10, "solver iterations", least=1)
    ls_iterations: int = key(20, "line search iterations", least=1)
    tolerance: float = key(1e-10, "solver tolerance", least=0)
    disable_euler_damping: bool = key(True, "no implicit joint damping in the euler integrator")


@dataclass(frozen=True)
class TrainingKeys:
    """Size of a rollout and of a minibatch."""

    num_envs: int = key(256, "environments", least=1)
    batch_size: int = key(64, "environments per minibatch; divides num_envs", least=1)
    rollout_length_seconds: float | None = key(None, "length of a rollout", unit="s", above=0)
    rollout_length_frames: int | None = key(None, "the same in control steps", least=1)
    num_devices: int | None = key(
        None, "devices the environments, or seeds, are spread over (engine=mjx); null: all", least=1
    )
    stagger_episodes: bool = key(True, "environments begin at random times of a first episode")
    reward_clip_min: float | None = key(None, "lower clip of the total reward")
    reward_clip_max: float | None = key(None, "upper clip of the total reward")
    noisy_groups: list[str] = key(
        ["actor"], "groups of observations that see bias, noise and delay; the others see none"
    )
    action_clip_max: float = key(1e3, "clip of every action before the actuators", above=0)


@dataclass(frozen=True)
class ValidationKeys:
    """Deterministic evaluation while training, in environments of its own."""

    valid_every_n_seconds: float | None = key(150.0, "time between evaluations", unit="s", above=0)
    valid_first_n_seconds: float | None = key(
        None, "time of the first evaluation", unit="s", above=0
    )
    valid_every_n_steps: int | None = key(None, "iterations between evaluations", least=1)
    num_episodes: int = key(32, "episodes of an evaluation", least=1)
    eval_length_seconds: float = key(
        20.0, "longest episode where a task has no limit", unit="s", above=0
    )


@dataclass(frozen=True)
class ViewerKeys:
    """Showing and evaluating a policy."""

    checkpoint: str | None = key(None, "run folder, one of its checkpoints, or latest")
    checkpoint_seed: int | None = key(
        None, "whose policy acts, of a run with num_seeds; null: which evaluated best", least=0
    )
    policy: str | None = key(
        None,
        "acts instead of a checkpoint; initial: the task's own, untrained",
        choices=("zero", "random", "initial"),
    )
    viewer: str = key("video", "video: render to a file", choices=("video",))
    run_model_viewer: bool = key(False, "`ksim train run_model_viewer=true` is `ksim view`")
    viewer_argmax_action: bool = key(True, "the policy's mode instead of a sample")
    viewer_num_seconds: float | None = key(
        None, "length of the view; null: one episode", unit="s", above=0
    )
    viewer_save_renders: bool = key(False, "also write every frame as PNG")
    viewer_save_video: bool = key(True, ".mp4; false: .gif")


@dataclass(frozen=True)
class RenderKeys:
    """Pictures and videos."""

    render_with_glfw: bool | None = key(None, "true: GLFW; false: EGL or OSMesa; null: detect")
    render_shadow: bool = key(True, "draw shadows")
    render_reflection: bool = key(False, "draw reflections")
    render_contact_force: bool = key(False, "draw contact forces")
    render_contact_point: bool = key(False, "draw contact points")
    render_inertia: bool = key(False, "draw inertia boxes")
    render_height: int = key(480, "height", unit="px", least=1)
    render_width: int = key(640, "width", unit="px", least=1)
    render_length_seconds: float | None = key(
        None, "longest video; null: no limit", unit="s", above=0
    )
    render_fps: int = key(30, "frames per second", least=1)
    render_slowdown: float = key(1.0, "2: half speed", above=0)
    render_track_body_id: int | None = key(None, "body the camera follows", least=0)
    render_distance: float = key(3.5, "camera distance", unit="m", above=0)
    render_azimuth: float = key(90.0, "camera azimuth", unit="deg")
    render_elevation: float = key(-10.0, "camera elevation", unit="deg")
    render_lookat: list[float] = key([0.0, 0.0, 0.5], "point the camera looks at", unit="m")
    render_camera_name: str | None = key(None, "camera of the model instead of the free one")


@dataclass(frozen=True)
class DatasetKeys:
    """Recording of experience."""

    collect_dataset: bool = key(False, "`ksim train collect_dataset=true` is `ksim collect`")
    dataset_num_batches: int = key(1, "rollouts of all environments", least=1)
    dataset_save_path: str | None = key(None, "folder; null: <run>/datasets/<step>")
    dataset_groups: list[str] | None = key(
        None, "observation groups that are recorded; null: those the actor sees"
    )
    collect_dataset_argmax_action: bool = key(False, "the policy's mode instead of a sample")


@dataclass(frozen=True)
class RunConfig(
    RunKeys,
    TrainingKeys,
    SimulationKeys,
    BackendKeys,
    ValidationKeys,
    ViewerKeys,
    RenderKeys,
    DatasetKeys,
    BenchKeys,
    ComponentKeys,
):
    """Every key of a run, validated: what all code below the command line sees."""


SECTIONS = (
    RunKeys,
    TrainingKeys,
    SimulationKeys,
    BackendKeys,
    ValidationKeys,
    ViewerKeys,
    RenderKeys,
    DatasetKeys,
    BenchKeys,
    ComponentKeys,
)
"""The parts of `RunConfig`, in the order help shows them."""
