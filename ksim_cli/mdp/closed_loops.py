"""Closed loops: poses and velocities that satisfy a model's equality constraints.

The constraints are those of joints, fixed tendons, and of bodies or sites that are connected or
welded together. Spatial tendons, flexes, what hangs on a mocap body (a handle, which pulls) and
what is not active at the start are left alone.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.mdp.joints import position_bounds
from ksim_cli.mdp.kinematics import Frame, body_frames, displace, rotation
from ksim_cli.physics.names import SCALAR_JOINTS, joint_actuators

TOLERANCE = 1e-4
"""Largest gap of a pose that counts as closed, m or rad."""

_SITE, _FREE = int(mujoco.mjtObj.mjOBJ_SITE), int(mujoco.mjtJoint.mjJNT_FREE)
_CONNECT, _WELD = int(mujoco.mjtEq.mjEQ_CONNECT), int(mujoco.mjtEq.mjEQ_WELD)
_JOINT, _TENDON = int(mujoco.mjtEq.mjEQ_JOINT), int(mujoco.mjtEq.mjEQ_TENDON)
_ON_THE_WAY, _AT_THE_END = 24, 8
"""Steps from the home pose to the one that was drawn, each with a correction; and more at its end.

So a loop stays assembled as it is at home (an elbow up or down).
"""
_STIFF = 0.01
"""How readily driven joints give way, where the others do by 1 and so follow them."""

_DAMPING = 1e-6
"""Share of the mean eigenvalue: some rows say nothing, as that across a planar linkage."""


@dataclass(frozen=True)
class ClosedLoops:
    """The equality constraints of a model that tie joints, and the joints they tie.

    Attributes:
        model: the compiled model.
        equalities: indices of the constraints.
        dofs: degrees of freedom of the hinges, slides and balls in the loops.
        weights: `[nv]` how readily each gives way.
        loop: `[nq]` bool the coordinates of those joints.
        scalar: addresses in `qpos` of the hinges and slides among them.
        scalar_dofs: their degrees of freedom.
        low: their lower bounds, home where it lies below the range.
        high: their upper bounds, home where it lies above the range.
        home: `[nq]` the home pose, closed.
        jacobian: `[M, nv]` the derivative of the gaps there.
    """

    model: mujoco.MjModel
    equalities: tuple[int, ...]
    dofs: np.ndarray
    weights: np.ndarray
    loop: np.ndarray
    scalar: np.ndarray
    scalar_dofs: np.ndarray
    low: np.ndarray
    high: np.ndarray
    home: np.ndarray
    jacobian: np.ndarray

    @property
    def names(self) -> str:
        """The constraints by name or number."""
        return ", ".join(self.model.equality(i).name or f"equality {i}" for i in self.equalities)

    def gaps(self, qpos: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What is open at a pose, `[M]` m or rad, and its derivative by velocity `[M, nv]`."""
        return equality_gaps(self.model, self.equalities, qpos)

    def close(self, qpos: jax.Array, qvel: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """A pose and a velocity that satisfy the constraints, near those given.

        Driven joints stay about where they are, the others in the loops follow. Where there is no
        such pose, the loops are as at home.

        Args:
            qpos: `[nq]` positions.
            qvel: `[nv]` velocities.

        Returns:
            Positions, velocities, and whether there is such a pose, bool.
        """
        home = jnp.asarray(self.home, jnp.float32)
        start = jnp.where(self.loop, home, qpos)
        way = (qpos - home)[self.scalar] / _ON_THE_WAY

        def step(i: jax.Array, qpos: jax.Array) -> jax.Array:
            there = qpos.at[self.scalar].add(jnp.where(i < _ON_THE_WAY, way, 0.0))
            return self.corrected(there)

        closed = jax.lax.fori_loop(0, _ON_THE_WAY + _AT_THE_END, step, start)
        gaps, jacobian = self.gaps(closed)
        found = jnp.abs(gaps).max() < TOLERANCE  # NaN compares false
        closed = jnp.where(found, closed, start)
        jacobian = jnp.where(found, jacobian, self.jacobian)
        for _ in range(2):  # the second time for what the damping left
            qvel = qvel - self._least_change(jacobian, jacobian @ qvel, self.weights)
        return closed, qvel, found

    def corrected(self, qpos: jax.Array) -> jax.Array:
        """One Gauss-Newton step towards closed loops, within the joints' bounds."""
        gaps, jacobian = self.gaps(qpos)
        # A joint that would leave its range stays, and the others do its share.
        change = self._least_change(jacobian, gaps, self.weights)[self.scalar_dofs]
        wanted = qpos[self.scalar] - change
        blocked = (wanted < self.low) | (wanted > self.high)
        free = jnp.where(blocked, 0.0, self.weights[self.scalar_dofs])
        weights = jnp.asarray(self.weights).at[self.scalar_dofs].set(free)
        qpos = displace(self.model, qpos, -self._least_change(jacobian, gaps, weights))
        inside = jnp.clip(qpos[self.scalar], self.low, self.high)
        return qpos.at[self.scalar].set(inside)

    def _least_change(self, jacobian: jax.Array, gaps: jax.Array, weights: Any) -> jax.Array:
        """`[nv]` the least change of the loops' joints that has such an effect on the gaps."""
        jacobian, weights = jacobian[:, self.dofs], jnp.asarray(weights)[self.dofs]
        square = (jacobian * weights[None]) @ jacobian.T
        size = square.shape[0]
        square += (_DAMPING * jnp.trace(square) / size + 1e-12) * jnp.eye(size)
        least = weights * (jacobian.T @ jax.scipy.linalg.solve(square, gaps, assume_a="pos"))
        return jnp.zeros(self.model.nv).at[self.dofs].set(least)


def closed_loops(model: mujoco.MjModel, home: np.ndarray) -> ClosedLoops | None:
    """The closed loops of a model; None: its joints are not tied.

    Args:
        model: the compiled model.
        home: `[nq]` the home pose.

    Raises:
        UserError: the loops are open at home, and no pose near it closes them.
    """
    equalities = tuple(i for i in range(model.neq) if _is_held(model, i))
    if not equalities or model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_EQUALITY:
        return None
    joints = _joints(model, equalities, home)
    if not joints:
        return None
    loops = _of_joints(model, equalities, joints, home)

    @jax.jit
    def settle(qpos: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        steps = _ON_THE_WAY + _AT_THE_END
        qpos = jax.lax.fori_loop(0, steps, lambda _, q: loops.corrected(q), qpos)
        return qpos, *loops.gaps(qpos)

    closed, gaps, jacobian = (np.asarray(x) for x in settle(jnp.asarray(home, jnp.float32)))
    if not (gap := np.abs(gaps).max()) < TOLERANCE:
        raise UserError(
            f"resets: the home pose does not satisfy {loops.names} (a gap of {gap:.3g} m or rad is"
            " left), nor does a pose near it. Mend the keyframe, or the model"
        )
    return replace(loops, home=closed, jacobian=jacobian)


def equality_gaps(
    model: mujoco.MjModel, equalities: tuple[int, ...], qpos: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Violation of equality constraints, and its derivative by velocity.

    Args:
        model: the compiled model.
        equalities: indices of the constraints.
        qpos: `[nq]` positions.

    Returns:
        `[M]` m or rad, and `[M, nv]`: `efc_pos` and `efc_J` of the constraints' rows.
    """
    bodies = {body for i in equalities for body, _, _ in _ends(model, i)}

    def moved(change: jax.Array) -> tuple[jax.Array, jax.Array]:
        frames = body_frames(model, qpos, change, bodies)
        rows = [_gap(model, i, qpos, change, frames) for i in equalities]
        gaps = jnp.concatenate(rows)
        return gaps, gaps

    jacobian, gaps = jax.jacfwd(moved, has_aux=True)(jnp.zeros(model.nv))
    return gaps, jacobian


def _is_held(model: mujoco.MjModel, i: int) -> bool:
    kind, ids = model.eq_type[i], (int(model.eq_obj1id[i]), int(model.eq_obj2id[i]))
    if not model.eq_active0[i]:
        return False
    if kind == _JOINT:
        return True
    if kind == _TENDON:
        first = [int(model.tendon_adr[t]) for t in ids if t >= 0]
        return all(model.wrap_type[a] == mujoco.mjtWrap.mjWRAP_JOINT for a in first)
    if kind in (_CONNECT, _WELD):
        return all(model.body_mocapid[body] < 0 for body, _, _ in _ends(model, i))
    return False


def _joints(model: mujoco.MjModel, equalities: tuple[int, ...], home: np.ndarray) -> list[int]:
    """The hinges, slides and balls that open or close a loop, at home or about it."""
    rng = np.random.default_rng(0)
    away = jnp.asarray(0.1 * rng.normal(size=(3, model.nv)), jnp.float32)
    start = jnp.asarray(home, jnp.float32)

    @jax.jit
    @jax.vmap
    def derivatives(change: jax.Array) -> jax.Array:
        return equality_gaps(model, equalities, displace(model, start, change))[1]

    tied = np.abs(derivatives(away)).max(axis=(0, 1)) > 1e-5
    joints = sorted({int(j) for j in model.dof_jntid[tied]})
    return [j for j in joints if model.jnt_type[j] != _FREE]


def _of_joints(
    model: mujoco.MjModel, equalities: tuple[int, ...], joints: list[int], home: np.ndarray
) -> ClosedLoops:
    """Loops of these joints; their home pose may be open."""
    dofs = np.flatnonzero(np.isin(model.dof_jntid, joints))
    driven = np.isin(model.dof_jntid, list(joint_actuators(model)))
    scalar = [j for j in joints if model.jnt_type[j] in SCALAR_JOINTS]
    low, high = position_bounds(model, scalar, home)
    loop = np.zeros(model.nq, bool)
    for joint in joints:
        first = int(model.jnt_qposadr[joint])
        loop[first : first + (1 if joint in scalar else 4)] = True
    return ClosedLoops(
        model=model,
        equalities=equalities,
        dofs=dofs,
        weights=np.where(driven, _STIFF, 1.0).astype(np.float32),
        loop=loop,
        scalar=model.jnt_qposadr[scalar],
        scalar_dofs=model.jnt_dofadr[scalar],
        low=low,
        high=high,
        home=home,
        jacobian=np.zeros((0, model.nv)),
    )


def _ends(model: mujoco.MjModel, i: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Body, place on it and orientation to it of both ends of a connection or a weld, else none."""
    kind, ids = model.eq_type[i], (int(model.eq_obj1id[i]), int(model.eq_obj2id[i]))
    if kind not in (_CONNECT, _WELD):
        return []
    if model.eq_objtype[i] == _SITE:
        return [(int(model.site_bodyid[s]), model.site_pos[s], model.site_quat[s]) for s in ids]
    data, same = model.eq_data[i], np.array([1.0, 0.0, 0.0, 0.0])
    if kind == _CONNECT:
        return [(ids[0], data[:3], same), (ids[1], data[3:6], same)]
    return [(ids[0], data[3:6], data[6:10]), (ids[1], data[:3], same)]


def _gap(
    model: mujoco.MjModel, i: int, qpos: jax.Array, change: jax.Array, frames: dict[int, Frame]
) -> jax.Array:
    """`efc_pos` of one constraint."""
    kind, data = model.eq_type[i], model.eq_data[i]
    if kind in (_JOINT, _TENDON):
        travel = _joint_travel if kind == _JOINT else _tendon_travel
        one, other = (
            travel(model, int(index), qpos, change) if index >= 0 else jnp.zeros(())
            for index in (model.eq_obj1id[i], model.eq_obj2id[i])
        )
        return (one - jnp.polyval(jnp.asarray(data[4::-1], jnp.float32), other))[None]
    (first, turned), (second, other_turn) = (
        _placed(frames[body], place, turn) for body, place, turn in _ends(model, i)
    )
    if kind == _CONNECT:
        return first - second
    turn = jnp.float32(data[10]) * _quaternion_vector(other_turn.T @ turned)
    return jnp.concatenate([first - second, turn])


def _placed(frame: Frame, place: np.ndarray, turn: np.ndarray) -> Frame:
    """What is fixed to a body, in the world."""
    position, orientation = frame
    return (
        position + orientation @ jnp.asarray(place, jnp.float32),
        orientation @ jnp.asarray(rotation(turn), jnp.float32),
    )


def _quaternion_vector(turn: jax.Array) -> jax.Array:
    """`[3]` the vector part of the quaternion of a rotation matrix, whose scalar is positive."""
    scalar = 0.5 * jnp.sqrt(jnp.maximum(1.0 + jnp.trace(turn), 1e-6))
    return (turn - turn.T)[jnp.array([2, 0, 1]), jnp.array([1, 2, 0])] / (4.0 * scalar)


def _joint_travel(
    model: mujoco.MjModel, joint: int, qpos: jax.Array, change: jax.Array
) -> jax.Array:
    """How far a joint is from where it is in the model's default pose."""
    at, dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
    return qpos[at] + change[dof] - jnp.float32(model.qpos0[at])


def _tendon_travel(
    model: mujoco.MjModel, tendon: int, qpos: jax.Array, change: jax.Array
) -> jax.Array:
    """How much longer a fixed tendon is than in the model's default pose."""
    first = int(model.tendon_adr[tendon])
    wraps = slice(first, first + int(model.tendon_num[tendon]))
    joints, factors = model.wrap_objid[wraps], jnp.asarray(model.wrap_prm[wraps], jnp.float32)
    positions = qpos[model.jnt_qposadr[joints]] + change[model.jnt_dofadr[joints]]
    return factors @ positions - jnp.float32(model.tendon_length0[tendon])
