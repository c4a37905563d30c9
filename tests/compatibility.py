"""Models that other people publish: each is loaded, reset and stepped, and held against MuJoCo.

    nox -s compatibility
    python -m tests.compatibility [--report docs/compatibility.md] [PACKAGE or FILE ...]

The session installs the packages of constraints/compatibility.txt, without what they depend on, and
runs this on the files in them. Pytest does not collect it: the packages are large.

A model is a file that MuJoCo itself loads and that has something to drive. It passes if
`task=model` takes it, and an environment takes five control steps at rest and five with small random
actions as `mj_step` of the untouched file does: its driven joints pushed by the same torques in
place of their actuators, its other actuators at the home keyframe's control.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax
import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.physics.names import JOINT_TRANSMISSIONS, SCALAR_JOINTS
from ksim_cli.run.build import make_task_model
from tests.helpers import run_config

ROOT = Path(__file__).parent.parent
PACKAGES = ROOT / "constraints" / "compatibility.txt"
PASSES, DIFFERS, FAILS = "passes", "differs", "fails"
NO_MODEL, NOTHING_TO_DRIVE = "no model", "nothing to drive"
NUM_ENVS, STEPS, CTRL_DT = 2, 5, 0.02
TORQUE = 0.01
"""Largest torque, N m or N, where that accelerates no joint by more than 1 rad/s^2 or m/s^2."""

TOLERANCE = 1e-5
"""Of positions, relative to the largest where that is above 1; actions are float32."""

CHUNK = 12
"""Files of one process: a crash of one must not end all."""

SECONDS = 300
"""A file that takes longer fails."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a file.

    Attributes:
        file: its path.
        status: one of the five above.
        reason: why, where it does not pass.
    """

    file: str
    status: str
    reason: str = ""


class Native:
    """One simulation of the untouched file.

    Args:
        model: the file's; actuators of driven joints are silenced in it.
        task_model: ksim's, of which only what the actions reach is asked.
        substeps: physics steps of a control step.
    """

    def __init__(self, model, task_model, substeps):
        self.model, self.data, self.substeps = model, mujoco.MjData(model), substeps
        actuators = task_model.mdp.actuators.values()
        # Joints without a name have one in ksim; they stand in the file's order.
        joints = [task_model.model.joint(name).id for a in actuators for name in a.joints]
        self.dofs = [int(model.jnt_dofadr[joint]) for joint in joints]
        for i in range(model.nu):
            pulls = model.actuator_trntype[i] in JOINT_TRANSMISSIONS
            if pulls and model.actuator_trnid[i, 0] in joints:
                model.actuator_gainprm[i] = model.actuator_biasprm[i] = 0.0
        self.controls = [i for a in actuators if not a.joints for i in a.ctrl_addresses]
        names = [model.key(i).name for i in range(model.nkey)]
        self.key = names.index("home") if "home" in names else 0 if len(names) == 1 else None

    def reset(self, qpos, qvel):
        """Start from a state, with all else of the home keyframe."""
        mujoco.mj_resetData(self.model, self.data)
        if self.key is not None:
            mujoco.mj_resetDataKeyframe(self.model, self.data, self.key)
        self.data.time, self.data.qpos[:], self.data.qvel[:] = 0.0, qpos, qvel
        mujoco.mj_forward(self.model, self.data)

    def step(self, action):
        """One control step: torques of the joints first, then controls in their ranges."""
        self.data.qfrc_applied[self.dofs] = action[: len(self.dofs)]
        for i, part in zip(self.controls, action[len(self.dofs) :], strict=True):
            low, high = self.model.actuator_ctrlrange[i]
            scaled = np.float32((low + high) / 2) + np.float32((high - low) / 2) * part
            self.data.ctrl[i] = scaled if self.model.actuator_ctrllimited[i] else part
        mujoco.mj_step(self.model, self.data, self.substeps)

    def gentle(self):
        """`[A]` largest actions, which throw nothing about and which no limit cuts."""
        self.reset(self.model.qpos0, np.zeros(self.model.nv))
        mobility = np.zeros((self.model.nv, self.model.nv))
        mujoco.mj_solveM(self.model, self.data, mobility, np.eye(self.model.nv))
        torques = np.minimum(1.0 / np.diag(mobility)[self.dofs], TORQUE)
        return np.concatenate([torques, np.full(len(self.controls), TORQUE)])

    def joint_at(self, address):
        """What a joint is called, by an address in `qpos`."""
        index = int((self.model.jnt_qposadr <= address).sum()) - 1
        return self.model.joint(index).name or f"number {index}"


def compare(file, native, config):
    """Status and reason of a file that MuJoCo loads."""
    dt = float(native.opt.timestep)
    substeps = max(1, round(CTRL_DT / dt))
    task = dataclasses.replace(config.task, model=file)
    task_model = make_task_model(dataclasses.replace(config, task=task, ctrl_dt=substeps * dt))
    env = task_model.make_env(NUM_ENVS)
    init, step = jax.jit(env.init), jax.jit(env.step)
    twin = Native(native, task_model, substeps)
    gentle, draw = twin.gentle(), np.random.default_rng(0).uniform
    for largest in (0.0 * gentle, gentle):
        state = init(jax.random.key(0))
        view = env.engine.view(state.physics)
        twin.reset(view.qpos[0], view.qvel[0])
        for i in range(STEPS):
            actions = (draw(-1.0, 1.0, (NUM_ENVS, env.action_size)) * largest).astype(np.float32)
            state, result = step(state, actions)
            twin.step(actions[0])
            if np.asarray(result.quarantined).any():
                return FAILS, f"step {i + 1}: not finite"
            off = np.abs(np.asarray(result.steps.view.qpos[0], float) - twin.data.qpos)
            if not off.max() <= TOLERANCE * max(1.0, np.abs(twin.data.qpos).max()):
                joint = twin.joint_at(int(off.argmax()))
                return DIFFERS, f"step {i + 1}: joint {joint} is {off.max():.2g} off"
    return PASSES, ""


def check(file, config):
    """The result of a file; whatever its error is, it is the next one's turn."""
    try:
        native = mujoco.MjModel.from_xml_path(file)
    except ValueError as error:
        return Result(file, NO_MODEL, _line(error))
    if not native.nu and not np.isin(native.jnt_type, SCALAR_JOINTS).any():
        return Result(file, NOTHING_TO_DRIVE)
    try:
        return Result(file, *compare(file, native, config))
    except UserError as error:
        return Result(file, FAILS, _line(error))
    except Exception as error:
        return Result(file, FAILS, f"{type(error).__name__}: {_line(error)}")


def _line(error):
    return " ".join(str(error).split())


def run_child(files):
    """Checks files one after another, and tells of each on a line of its own."""
    sizes = (f"num_envs={NUM_ENVS}", f"batch_size={NUM_ENVS}", "rollout_length_frames=1")
    config = run_config("task=model", "engine=mujoco", *sizes)
    for file in files:
        signal.alarm(SECONDS)  # by default it ends the process, in the middle of C++ too
        print(json.dumps(dataclasses.asdict(check(file, config))), flush=True)
        jax.clear_caches()


def check_all(files: list[str]) -> Iterator[Result]:
    """Every file's result, in order, from processes of their own."""
    variables = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    while files:
        chunk = files[:CHUNK]
        done = subprocess.run(
            [sys.executable, "-m", "tests.compatibility", "--child", *chunk],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **variables},
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"file"')]
        results = [Result(**json.loads(line)) for line in lines]
        if len(results) < len(chunk):
            how = f"ended the process: {_line(done.stderr[-300:])}"
            if done.returncode == -signal.SIGALRM:
                how = f"took more than {SECONDS} s"
            results.append(Result(chunk[len(results)], FAILS, how))
        yield from results
        files = files[len(results) :]


def packages() -> dict[str, str]:
    """Package -> the version that constraints/compatibility.txt has."""
    lines = (line.partition("#")[0].strip() for line in PACKAGES.read_text("utf-8").splitlines())
    return dict(line.split("==") for line in lines if line)


def package_files(package: str) -> list[str]:
    """The MJCF and URDF files that an installed package came with."""
    found = importlib.metadata.files(package) or []
    paths = [str(file.locate().resolve()) for file in found if file.suffix in ENDS]
    return sorted(path for path in paths if root_element(path) in ("mujoco", "robot"))


ENDS = (".xml", ".mjcf", ".urdf")


def root_element(path):
    """The name of an XML file's first element; empty where it is no XML."""
    try:
        return next(iter(ElementTree.iterparse(path, ["start"])))[1].tag
    except (ElementTree.ParseError, OSError):
        return ""


HEAD = """\
# Models that ksim takes

What `nox -s compatibility` found: {passes} of {models} models that other people publish load as `task=model
task.model=FILE`, and step as `mj_step` of the untouched file does (`engine=mujoco`; two environments, {steps} control
steps at rest and {steps} with small random actions; positions within {tolerance:g}). A model is a file that MuJoCo
{mujoco} itself loads and that has a joint or an actuator to drive.

| package | version | models | pass | differ | fail | files that are no model | models without anything to drive |
|---|---|---:|---:|---:|---:|---:|---:|
"""
NO_MODEL_KINDS = {
    "Error opening file": "refers to a file that the package does not have where MuJoCo looks for it",
    "Unrecognized XML model type": "a fragment, to be included in others",
}


def report(results: dict[str, list[Result]]) -> str:
    """docs/compatibility.md: counts of each package, and the reasons of all that does not pass."""
    everything = [result for each in results.values() for result in each]
    count = Counter(result.status for result in everything)
    rows = []
    for package, each in results.items():
        own = Counter(result.status for result in each)
        models = own[PASSES] + own[DIFFERS] + own[FAILS]
        numbers = (models, own[PASSES], own[DIFFERS], own[FAILS])
        left_out = (own[NO_MODEL], own[NOTHING_TO_DRIVE])
        cells = (package, packages().get(package, ""), *numbers, *left_out)
        rows.append(f"| {' | '.join(map(str, cells))} |")
    head = HEAD.format(
        passes=count[PASSES],
        models=count[PASSES] + count[DIFFERS] + count[FAILS],
        steps=STEPS,
        tolerance=TOLERANCE,
        mujoco=mujoco.__version__,
    )
    parts = [head + "\n".join(rows)]
    if bad := [result for result in everything if result.status in (DIFFERS, FAILS)]:
        parts.append("## What does not pass\n\n" + "\n".join(_reasons(bad)))
    parts.append("## Files that MuJoCo does not load\n\n" + "\n".join(_no_model(everything)))
    return "\n\n".join(parts) + "\n"


def _reasons(bad: Iterable[Result]) -> Iterator[str]:
    for result in bad:
        yield f"* `{_short(result.file)}` {result.status}: {_plain(result.reason)}"


def _no_model(everything: Iterable[Result]) -> Iterator[str]:
    """How many files MuJoCo refuses, by the kind of its reason."""
    kinds: Counter[str] = Counter()
    for result in everything:
        if result.status == NO_MODEL:
            fitting = [text for start, text in NO_MODEL_KINDS.items() if start in result.reason]
            kinds[fitting[0] if fitting else "another error of MuJoCo's compiler"] += 1
    for kind, number in kinds.most_common():
        yield f"* {number}: {kind}"


def _short(path: str) -> str:
    """A path without where the packages are installed."""
    return re.sub(r"^.*/site-packages/", "", path)


def _plain(text: str) -> str:
    return re.sub(r"\S*/site-packages/", "", text)


def main() -> int:
    """Checks, prints what does not pass, and writes the report; 1 where a model does not pass."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", action="store_true")
    parser.add_argument("--report", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    if given.child:
        run_child(given.names)
        return 0
    results: dict[str, list[Result]] = {}
    for name in given.names or packages():
        is_file = Path(name).suffix in ENDS
        files = [str(Path(name).resolve())] if is_file else package_files(name)
        results[name] = [*check_all(files)]
        counts = Counter(result.status for result in results[name])
        print(name, *(f"{status}: {number}" for status, number in counts.items()), flush=True)
        for line in _reasons(r for r in results[name] if r.status in (DIFFERS, FAILS)):
            print(" ", line, flush=True)
    if given.report:
        given.report.write_text(report(results), "utf-8")
    return any(r.status in (DIFFERS, FAILS) for each in results.values() for r in each)


if __name__ == "__main__":
    sys.exit(main())
