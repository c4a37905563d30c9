"""The run's keys: flat, under the names users of the reference system know.

One schema serves every command, so a saved config can be read by all of them. Standard library
only. Lists appear as lists: a config file cannot tell a tuple from a list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ksim_cli.config.components import (
    DistillConfig,
    EngineConfig,
    LoggerConfig,
    MotionConfig,
    RetargetConfig,
    TaskConfig,
)
from ksim_cli.option import option


@dataclass(frozen=True)
class ComponentKeys:
    """Sections chosen by config groups, and the tables of terms."""

    task: TaskConfig = field(default_factory=TaskConfig, metadata={"help": "the task"})
    engine: EngineConfig = field(default_factory=EngineConfig, metadata={"help": "the physics"})
    algo: Any = option(None, "the learning algorithm")
    model: Any = option(None, "the networks")
    optimizer: Any = option(None, "the optimizer")
    curriculum: Any = option(None, "how the level of difficulty moves")
    motion: MotionConfig = field(
        default_factory=MotionConfig, metadata={"help": "reference motions"}
    )
    retarget: RetargetConfig = field(
        default_factory=RetargetConfig, metadata={"help": "motions brought onto the robot"}
    )
    logger: LoggerConfig = field(default_factory=LoggerConfig, metadata={"help": "extra logs"})
    joints: dict[str, Any] = option({}, "joint or pattern -> gains, limits, friction, armature")
    actuators: dict[str, Any] = option({}, "name -> actuator of some joints")
    observations: dict[str, Any] = option({}, "name -> observation term")
    rewards: dict[str, Any] = option({}, "name -> reward term and its weight")
    terminations: dict[str, Any] = option({}, "name -> termination term")
    resets: dict[str, Any] = option({}, "name -> reset term, applied in order")
    commands: dict[str, Any] = option({}, "name -> command term")
    events: dict[str, Any] = option({}, "name -> event term")
    randomization: dict[str, Any] = option({}, "name -> randomizer of physics, applied in order")


COMPONENT_SECTIONS = tuple(f.name for f in fields(ComponentKeys) if f.type is Any)
"""Sections of one component each, whose fields depend on its type."""

TERM_SECTIONS = tuple(f.name for f in fields(ComponentKeys) if f.type == dict[str, Any])
"""Sections of terms and joints: any field of one may be set, written in YAML or not."""


@dataclass(frozen=True)
class RunKeys:
    """Run control."""

    seed: int = option(0, "root of every random number", ge=0, le=2**32 - 1)
    num_seeds: int = option(1, "seeds trained in one program (engine=mjx): seed, seed + 1, …", ge=1)
    run_dir: str | None = option(None, "folder of this run; null: runs/<task>/<time>", "path")
    resume: str | None = option(None, "continue a run: its folder, or latest", "path")
    init_from: str | None = option(
        None,
        "begin from a trained policy: its run's folder, one of its checkpoints, or latest;"
        " not its optimizer, nor its level",
        "path",
    )
    init_from_partial: bool = option(
        False, "take of init_from what fits this run's networks, and list the rest"
    )
    num_iterations: int | None = option(
        None, "stop after this many iterations of the whole run", ge=1
    )
    max_env_steps: int | None = option(
        None, "stop after this many control steps of the whole run", ge=1
    )
    save_every_n_seconds: float | None = option(600.0, "time between checkpoints", unit="s", gt=0)
    save_every_n_steps: int | None = option(None, "iterations between checkpoints", ge=1)
    epochs_per_log_step: int = option(
        1, "iterations fused into one dispatch between two log rows", ge=1
    )
    log_train_metrics: bool = option(True, "write metrics.jsonl and the extra logs")
    log_to_file: bool = option(True, "write train.log: what is said, and what was typed")
    num_compiled_steps_to_log: int = option(
        3, "of so many dispatches, from the start, train.log has the time", ge=0
    )
    profile_memory: bool = option(False, "write one device memory profile into the run folder")


@dataclass(frozen=True)
class BackendKeys:
    """Computation in JAX."""

    matmul_precision: str = option(
        "highest",
        "of matrix products on an accelerator; below highest physics may go wrong",
        choices=("highest", "high", "default"),
    )
    compilation_cache: bool = option(True, "keep compiled programs in the user's cache folder")


@dataclass(frozen=True)
class BenchKeys:
    """Measuring."""

    bench_seconds: float = option(10.0, "time that ksim bench measures for", unit="s", gt=0)


@dataclass(frozen=True)
class RetargetKeys:
    """Retargeting; `ksim retarget` alone."""

    motion_model: str | None = option(
        None,
        "MJCF or URDF file of the robot that the motion is of; null: it is of keypoints",
        "path",
    )
    out: str | None = option(None, "file to write: .npz, .h5 or .hdf5", "path")


def _physics(help: str, unit: str = "", **limits: Any) -> Any:
    return option(None, f"{help}; null: the file's", unit, **limits)


@dataclass(frozen=True)
class SimulationKeys:
    """Physics options, applied to the task's model."""

    ctrl_dt: float = option(0.02, "time between two actions", unit="s", gt=0)
    dt: float | None = _physics("physics time step", "s", gt=0)
    solver: str | None = _physics("constraint solver", choices=("newton", "cg"))
    integrator: str | None = _physics("integrator", choices=("implicitfast", "euler", "rk4"))
    iterations: int | None = _physics("solver iterations", ge=1)
    ls_iterations: int | None = _physics("line search iterations", ge=1)
    tolerance: float | None = _physics("solver tolerance", ge=0)
    disable_euler_damping: bool | None = _physics("no implicit joint damping in euler")


@dataclass(frozen=True)
class TrainingKeys:
    """Size of a rollout and of a minibatch."""

    num_envs: int = option(256, "environments", ge=1)
    batch_size: int = option(64, "environments per minibatch; divides num_envs", ge=1)
    rollout_length_seconds: float | None = option(None, "length of a rollout", unit="s", gt=0)
    rollout_length_frames: int | None = option(None, "the same in control steps", ge=1)
    num_devices: int | None = option(
        None, "devices the environments, or seeds, are spread over (engine=mjx); null: all", ge=1
    )
    stagger_episodes: bool = option(True, "environments begin at random times of a first episode")
    reward_clip_min: float | None = option(None, "lower clip of the total reward")
    reward_clip_max: float | None = option(None, "upper clip of the total reward")
    noisy_groups: list[str] = option(
        ["actor"], "groups of observations that see bias, noise and delay; the others see none"
    )
    action_clip_max: float = option(1e3, "clip of every action before the actuators", gt=0)
    observation_limit: float = option(1e6, "larger observations count as not finite", gt=0)
    reward_limit: float = option(1e6, "larger rewards, or parts of one, count as not finite", gt=0)


@dataclass(frozen=True)
class ValidationKeys:
    """Deterministic evaluation while training, in environments of its own."""

    valid_every_n_seconds: float | None = option(150.0, "time between evaluations", unit="s", gt=0)
    valid_first_n_seconds: float | None = option(
        None, "time of the first evaluation", unit="s", gt=0
    )
    valid_every_n_steps: int | None = option(None, "iterations between evaluations", ge=1)
    valid_first_n_steps: int = option(
        0, "an evaluation after each of the first so many iterations", ge=0
    )
    valid_pictures: bool = option(
        True, "a video and plots of each, drawn beside training, which never waits for them"
    )
    num_episodes: int = option(32, "episodes of an evaluation", ge=1)
    eval_length_seconds: float = option(
        20.0, "longest episode where a task has no limit", unit="s", gt=0
    )


@dataclass(frozen=True)
class ViewerKeys:
    """Showing and evaluating a policy."""

    checkpoint: str | None = option(None, "run folder, one of its checkpoints, or latest", "path")
    checkpoint_seed: int | None = option(
        None, "whose policy acts, of a run with num_seeds; null: which evaluated best", ge=0
    )
    policy: str | None = option(
        None,
        "acts instead of a checkpoint; initial: the task's own, untrained",
        choices=("zero", "random", "initial"),
    )
    dump: str | None = option(
        None, "shows an environment that was quarantined: a file of a run's folder dumps/", "path"
    )
    dataset: str | None = option(
        None, "shows recorded episodes: a folder that ksim collect wrote", "path"
    )
    viewer: str | None = option(
        None,
        "auto: a page where a person types, else a video; null: auto, and none while training",
        choices=("auto", "window", "web", "video"),
    )
    viewer_host: str = option("127.0.0.1", "IP address of viewer=web; any other lets others in")
    viewer_port: int = option(0, "its port; 0: the first free one from 8080 on", ge=0, le=65535)
    live_reward_buffer_size: int = option(4, "steps that a viewer averages rewards over", ge=1)
    run_model_viewer: bool = option(False, "`ksim train run_model_viewer=true` is `ksim view`")
    viewer_argmax_action: bool = option(True, "the policy's mode instead of a sample")
    viewer_num_seconds: float | None = option(
        None, "length of the view; null: one episode", unit="s", gt=0
    )
    viewer_save_renders: bool = option(False, "also write every frame as PNG")
    viewer_save_video: bool = option(True, ".mp4; false: .gif")


@dataclass(frozen=True)
class RenderKeys:
    """Pictures and videos."""

    render_with_glfw: bool | None = option(None, "true: GLFW; false: EGL or OSMesa; null: detect")
    render_shadow: bool | None = option(None, "draw shadows; null: at the full size")
    render_reflection: bool = option(False, "draw reflections")
    render_contact_force: bool = option(False, "draw contact forces")
    render_contact_point: bool = option(False, "draw contact points")
    render_inertia: bool = option(False, "draw inertia boxes")
    render_markers: bool = option(True, "draw what commands and rewards show: arrows, spheres")
    render_overlay: bool = option(True, "write frame, time and reward into videos")
    render_height: int = option(480, "height at the full size", unit="px", ge=1)
    render_width: int = option(640, "width at the full size", unit="px", ge=1)
    render_height_small: int = option(240, "height of most videos while training", unit="px", ge=1)
    render_width_small: int = option(320, "width of most videos while training", unit="px", ge=1)
    render_full_every_n_steps: int | None = option(
        12, "while training every so many videos are at the full size; null: none", ge=1
    )
    render_full_every_n_seconds: float | None = option(
        None, "the same by time; null: not", unit="s", gt=0
    )
    render_length_seconds: float | None = option(
        None, "longest video; null: no limit, but 5 s while training", unit="s", gt=0
    )
    render_fps: int = option(30, "frames per second", ge=1)
    render_slowdown: float = option(1.0, "2: half speed", gt=0)
    render_track_body_id: int | None = option(
        None, "body the camera follows; null: a base that floats", ge=0
    )
    render_distance: float | None = option(
        None, "camera distance; null: as fits the robot", unit="m", gt=0
    )
    render_azimuth: float = option(90.0, "camera azimuth", unit="deg")
    render_elevation: float = option(-10.0, "camera elevation", unit="deg")
    render_lookat: list[float] | None = option(
        None, "point the camera looks at, or past what it follows; null: the robot", unit="m"
    )
    render_camera_name: str | None = option(
        None, "camera of the model; the keys of the free one, where typed, come before it"
    )
    max_values_per_plot: int = option(8, "curves in one plot", ge=1)
    plot_figsize: list[float] = option([8.0, 4.0], "width and height of a plot", unit="in", gt=0)
    all_rewards_plot_figsize_multiplier: float = option(
        1.5, "size of the plot of all rewards together, in that of the others", gt=0
    )
    exclude_combined_reward_components: list[str] = option(
        [], "rewards left out of the plot of all rewards together"
    )
    log_all_images: bool = option(
        False, "plot observations, commands, actions and terminations too"
    )


@dataclass(frozen=True)
class DatasetKeys:
    """Recording of experience."""

    collect_dataset: bool = option(False, "`ksim train collect_dataset=true` is `ksim collect`")
    dataset_num_batches: int = option(1, "rollouts of all environments", ge=1)
    dataset_save_path: str | None = option(None, "folder; null: <run>/datasets/<step>", "path")
    dataset_id: str | None = option(
        None, "Minari's name of the dataset; null: <task>/<run>-v0, or its folder's in Minari's"
    )
    dataset_groups: list[str] | None = option(
        None, "observation groups that are recorded; null: those the actor sees"
    )
    collect_dataset_argmax_action: bool = option(False, "the policy's mode instead of a sample")


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
    RetargetKeys,
    ComponentKeys,
):
    """Every key of a run, validated: what all code below the command line sees."""


SECTIONS = RunConfig.__bases__
"""The parts of `RunConfig`, in the order help shows them."""

PATHS = (
    *(f.name for f in fields(RunConfig) if f.metadata.get("unit") == "path"),
    *(f"task.{f.name}" for f in fields(TaskConfig) if f.metadata.get("unit") == "path"),
    *(f"algo.{f.name}" for f in fields(DistillConfig) if f.metadata.get("unit") == "path"),
)
"""Keys that take a path: any text passes without quotes, and `~` is the home folder."""


def term_paths(config: RunConfig) -> Iterator[tuple[str, str, str]]:
    """Section, name and `path` of every term that names a file."""
    for section in TERM_SECTIONS:
        for name, term in getattr(config, section).items():
            if isinstance(term, Mapping) and isinstance(term.get("path"), str):
                yield section, name, term["path"]
