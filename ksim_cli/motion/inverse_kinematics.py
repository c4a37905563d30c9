"""Inverse kinematics: the pose of a robot in which its points are nearest to given places."""

from collections.abc import Iterator, Sequence

import mujoco
import mujoco.minimize
import numpy as np

from ksim_cli.config.components import RetargetConfig
from ksim_cli.motion.clip import joint_types
from ksim_cli.motion.ground import base_joint
from ksim_cli.motion.points import Marker, Pair, conjugate, frames_now, product
from ksim_cli.physics.robot import home_pose

FIRST_ITERATIONS, ITERATIONS = 300, 30
"""Most iterations of the solver in the first frame, which begins at home, and in the others."""

_FAR = 1e3
_CONVERGED = 1e-5
"""Bound of a displacement that has none; share of it by which the last iteration changes it."""


class Solver:
    """Poses in which points are nearest to where they should be.

    It minimises, over displacements x of the pose that it starts from,

        sum_p w_p (|distance|^2 + a |2 sin(angle / 2)|^2) + h |pose - home|^2 + s |x|^2

    with a, h and s the configuration's weights; h is of all joints but the base's. Joints that move
    none of the points, and free ones of other things than the robot, stay at home.

    Args:
        model: the robot.
        pairs: its P points.
        config: the weights.
        has_turns: whether orientations are known.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        pairs: Sequence[Pair],
        config: RetargetConfig,
        has_turns: bool,
    ) -> None:
        self.has_turns = has_turns and config.orientation_weight > 0.0
        self._model, self._data = model, mujoco.MjData(model)
        self._markers = [pair.marker for pair in pairs]
        roots = np.sqrt([pair.weight for pair in pairs])
        self._weights = roots, np.sqrt(config.orientation_weight) * roots
        self._pull = np.sqrt(config.home_weight), np.sqrt(config.smoothness_weight)
        self._home, self._base = home_pose(model), base_joint(model)
        joints = sorted(_moving(model, self._markers, self._base))
        dofs = [(i, d) for d, i in enumerate(model.dof_jntid) if i in joints]
        self._dofs = [d for _, d in dofs]
        self._held = [d for i, d in dofs if i != self._base]
        starts = {"free": 3, "ball": 0}  # of a joint's turn among its dofs
        kinds = joint_types(model)
        self._turns = [
            int(model.jnt_dofadr[i]) + starts[kinds[i]] for i in joints if kinds[i] in starts
        ]

    def placed(self, positions: np.ndarray) -> np.ndarray:
        """`[nq]` home, its base moved and turned about the vertical to where points `[P, 3]` are.

        The turn is the least squares' of the horizontal positions about their means.
        """
        pose = self._home.copy()
        if self._base is None:
            return pose
        self._kinematics(pose)
        ours = frames_now(self._data, self._markers)[0]
        center, goal = ours.mean(0), positions.mean(0)
        (x, y), (u, v) = (ours - center).T[:2], (positions - goal).T[:2]
        yaw = np.arctan2((x * v - y * u).sum(), (x * u + y * v).sum())
        turn = np.array([np.cos(yaw / 2.0), 0.0, 0.0, np.sin(yaw / 2.0)])
        at, lever = int(self._model.jnt_qposadr[self._base]), np.zeros(3)
        mujoco.mju_rotVecQuat(lever, pose[at : at + 3] - center, turn)
        pose[at : at + 3], pose[at + 3 : at + 7] = (
            goal + lever,
            product(turn, pose[at + 3 : at + 7]),
        )
        return pose

    def solve(
        self,
        start: np.ndarray,
        positions: np.ndarray,
        turns: np.ndarray | None,
        is_first: bool,
    ) -> np.ndarray:
        """`[nq]` the nearest pose.

        Args:
            start: `[nq]` the pose that it begins at.
            positions: `[P, 3]` m where the points should be.
            turns: `[P, 4]` their orientations; None: not known.
            is_first: nothing holds it near the start, and it may take longer.
        """
        self._start, self._goal = start, (positions, turns)
        self._damping = 0.0 if is_first else self._pull[1]
        found, _ = mujoco.minimize.least_squares(
            np.zeros(len(self._dofs)),
            self._residuals,
            self._bounds(),
            self._jacobian,
            xtol=_CONVERGED,
            max_iter=FIRST_ITERATIONS if is_first else ITERATIONS,
            verbose=mujoco.minimize.Verbosity.SILENT,
        )
        return _within_cones(self._model, self._pose(found)[0])

    def errors(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`[P]` m and rad between points and where they should be; 0 rad if that is not asked."""
        self._kinematics(pose)
        positions, turns = frames_now(self._data, self._markers)
        distances = np.linalg.norm(positions - self._goal[0], axis=1)
        if not self.has_turns or self._goal[1] is None:
            return distances, np.zeros(len(distances))
        sines = np.linalg.norm(product(conjugate(self._goal[1]), turns)[:, 1:], axis=1)
        return distances, 2.0 * np.arcsin(np.minimum(sines, 1.0))

    def _kinematics(self, pose: np.ndarray) -> None:
        self._data.qpos[:] = pose
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)  # Jacobians are taken about it

    def _pose(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`[nq]` the pose that a displacement leads to, and the `[nv]` displacement."""
        step, pose = np.zeros(self._model.nv), self._start.copy()
        step[self._dofs] = x.ravel()
        mujoco.mj_integratePos(self._model, pose, step, 1.0)
        return pose, step

    def _from_home(self, pose: np.ndarray) -> np.ndarray:
        """`[nv]` displacement from home to a pose."""
        step = np.zeros(self._model.nv)
        mujoco.mj_differentiatePos(self._model, step, 1.0, self._home, pose)
        return step

    def _residuals(self, x: np.ndarray) -> np.ndarray:
        """`[R, K]` of displacements `[dofs, K]`."""
        return np.stack([self._residual(column) for column in x.T], axis=1)

    def _residual(self, x: np.ndarray) -> np.ndarray:
        pose, step = self._pose(x)
        self._kinematics(pose)
        positions, turns = frames_now(self._data, self._markers)
        parts = [(self._weights[0][:, None] * (positions - self._goal[0])).ravel()]
        if self.has_turns and self._goal[1] is not None:
            off = product(conjugate(self._goal[1]), turns)
            sines = 2.0 * np.where(off[:, :1] < 0.0, -1.0, 1.0) * off[:, 1:]
            parts.append((self._weights[1][:, None] * sines).ravel())
        parts.append(self._pull[0] * self._from_home(pose)[self._held])
        parts.append(self._damping * step[self._dofs])
        return np.concatenate(parts)

    def _jacobian(self, x: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """`[R, dofs]`; velocities are of the pose, and x of the start: of turns they differ."""
        model, data = self._model, self._data
        pose, step = self._pose(x)
        self._kinematics(pose)
        linear, turning = (np.zeros((len(self._markers), 3, model.nv)) for _ in range(2))
        for i, each in enumerate(self._markers):
            jacobian = mujoco.mj_jacSite if each.is_site else mujoco.mj_jacBody
            jacobian(model, data, linear[i], turning[i], each.index)
        rows = [(self._weights[0][:, None, None] * linear).reshape(-1, model.nv)]
        if self.has_turns and self._goal[1] is not None:
            now = frames_now(data, self._markers)[1]
            rows.append(self._turning_rows(turning, product(conjugate(self._goal[1]), now), now))
        away = self._from_home(pose)
        rows.append(self._pull[0] * np.linalg.inv(self._chain(away))[self._held])
        moved = np.concatenate(rows) @ self._chain(step)
        return np.vstack([moved, self._damping * np.eye(model.nv)[self._dofs]])[:, self._dofs]

    def _turning_rows(self, turning: np.ndarray, off: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Rows of 2 sin(angle / 2): of e = (w, v), at a rate in the point's frame, w I + [v]x."""
        rows = np.zeros_like(turning)
        for i, (w, *v) in enumerate(off * np.where(off[:, :1] < 0.0, -1.0, 1.0)):
            rotation = np.zeros(9)
            mujoco.mju_quat2Mat(rotation, now[i])
            rate = w * np.eye(3) + _skew(np.array(v))
            rows[i] = self._weights[1][i] * rate @ rotation.reshape(3, 3).T @ turning[i]
        return rows.reshape(-1, turning.shape[2])

    def _chain(self, step: np.ndarray) -> np.ndarray:
        """`[nv, nv]` velocity where a displacement ends, by the rate of the displacement.

        Of a turn v of angle t: I - (1 - cos t) / t^2 [v]x + (t - sin t) / t^3 [v]x^2, the right
        Jacobian of the group of rotations (Sola et al. 2018, "A micro Lie theory", eq. 143).
        """
        chain = np.eye(len(step))
        for at in self._turns:
            if not step[at : at + 3].any():
                continue
            v, t = _skew(step[at : at + 3]), float(np.linalg.norm(step[at : at + 3]))
            second = (t - np.sin(t)) / t**3 if t > 1e-3 else 1.0 / 6.0
            first = 2.0 * (np.sin(t / 2.0) / t) ** 2
            chain[at : at + 3, at : at + 3] += second * v @ v - first * v
        return chain

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest displacement of each dof."""
        model = self._model
        low, high = np.full(model.nv, -_FAR), np.full(model.nv, _FAR)
        for i, at, dof in limited_joints(model, ("hinge", "slide")):
            low[dof], high[dof] = model.jnt_range[i] - self._start[at]
        return low[self._dofs], high[self._dofs]


def _within_cones(model: mujoco.MjModel, pose: np.ndarray) -> np.ndarray:
    """A pose whose ball joints are turned no further than they may be, about the same axes."""
    for i, at, _ in limited_joints(model, ("ball",)):
        turn, most = np.zeros(3), model.jnt_range[i, 1]
        mujoco.mju_quat2Vel(turn, pose[at : at + 4], 1.0)
        angle = float(np.linalg.norm(turn))
        if angle > most:
            mujoco.mju_axisAngle2Quat(pose[at : at + 4], turn / angle, most)
    return pose


def limited_joints(model: mujoco.MjModel, kinds: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Index and addresses in `qpos` and `qvel` of the joints of some types that have limits."""
    for i, kind in enumerate(joint_types(model)):
        if kind in kinds and model.jnt_limited[i]:
            yield i, int(model.jnt_qposadr[i]), int(model.jnt_dofadr[i])


def _moving(model: mujoco.MjModel, chosen: Sequence[Marker], base: int | None) -> set[int]:
    """Joints that move some of the bodies and sites; of free ones the base's alone."""
    joints: set[int] = set()
    for each in chosen:
        body = each.body
        while body:
            first = int(model.body_jntadr[body])
            joints |= set(range(first, first + int(model.body_jntnum[body])))
            body = int(model.body_parentid[body])
    types = joint_types(model)
    return {i for i in joints if i == base or types[i] != "free"}


def _skew(v: np.ndarray) -> np.ndarray:
    x, y, z = v
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
