"""Several clips as arrays that compiled programs gather from."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct

from ksim_cli.errors import UserError
from ksim_cli.motion.clip import Clip
from ksim_cli.motion.interpolation import resample
from ksim_cli.physics.free_base import base_candidates, free_joint_of

MOST_FRAMES = 2**21
"""Frames of all clips together that are held in memory."""


class MotionSet(struct.PyTreeNode):
    """C clips at the control rate, one after the other: S frames.

    A moment is a clip and a frame of it. Frames of a clip that loops go on without end: its last
    frame is the first one of the next round, in which the base is carried on from where it came to,
    turned about the vertical as far as it had turned.

    Attributes:
        qpos: `[S, nq]`.
        qvel: `[S, nv]`.
        starts: `[C]` row of each clip's first frame.
        lengths: `[C]` frames of each.
        weights: `[C]` share of each in what is drawn; sum 1.
        shift: `[C, 2]` m, where a round takes the horizontal origin.
        turn: `[C]` rad, by how much a round turns the base about the vertical.
        fps: frames per second.
        loop: whether the clips loop.
        base: addresses in `qpos` and `qvel` of the base's free joint; None: it has none.
        names: of the clips.
    """

    qpos: jax.Array
    qvel: jax.Array
    starts: jax.Array
    lengths: jax.Array
    weights: jax.Array
    shift: jax.Array
    turn: jax.Array
    fps: float = struct.field(pytree_node=False)
    loop: bool = struct.field(pytree_node=False)
    base: tuple[int, int] | None = struct.field(pytree_node=False)
    names: tuple[str, ...] = struct.field(pytree_node=False, default=())

    @property
    def num_clips(self) -> int:
        """C."""
        return len(self.names)

    def last_frame(self, clip: jax.Array) -> jax.Array:
        """Index of a clip's last frame: the length of a round in frames, too."""
        return self.lengths[clip] - 1

    def within(self, clip: jax.Array, frame: jax.Array) -> jax.Array:
        """The frame of the clip itself; beyond the end of one that does not loop it is the last."""
        last = self.last_frame(clip)
        return frame % last if self.loop else jnp.clip(frame, 0, last)

    def row(self, clip: jax.Array, frame: jax.Array) -> jax.Array:
        """Row of a moment."""
        return self.starts[clip] + self.within(clip, frame)

    def ended(self, clip: jax.Array, frame: jax.Array) -> jax.Array:
        """Bool: the clip has no frame after this one."""
        if self.loop:
            return jnp.zeros(jnp.broadcast_shapes(clip.shape, frame.shape), bool)
        return frame >= self.last_frame(clip)

    def state(self, clip: jax.Array, frame: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`qpos` and `qvel` of one moment.

        Args:
            clip: int32 scalar.
            frame: int32 scalar, frames since the clip's beginning.
        """
        row = self.row(clip, frame)
        qpos, qvel = self.qpos[row], self.qvel[row]
        if not self.loop or self.base is None:
            return qpos, qvel
        return self._carried_on(qpos, qvel, clip, frame // self.last_frame(clip))

    def draw(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A clip by its weight, and one of its frames before the last; int32 scalars."""
        key_clip, key_frame = jax.random.split(key)
        clip = jax.random.choice(key_clip, self.num_clips, p=self.weights).astype(jnp.int32)
        frame = jax.random.randint(key_frame, (), 0, self.last_frame(clip))
        return clip, frame

    def _carried_on(
        self, qpos: jax.Array, qvel: jax.Array, clip: jax.Array, rounds: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """A state some rounds later.

        A round takes x to R x + d, so n rounds to R^n x + (1 + R + ... + R^(n-1)) d; the sum is a
        turn by half the angle of the n - 1 rounds, times sin(n a / 2) / sin(a / 2).
        """
        assert self.base is not None
        at, dof = self.base
        rounds = rounds.astype(jnp.float32)
        angle, half = self.turn[clip] * rounds, 0.5 * self.turn[clip]
        is_straight = jnp.abs(jnp.sin(half)) < 1e-5
        ratio = jnp.sin(rounds * half) / jnp.where(is_straight, 1.0, jnp.sin(half))
        length = jnp.where(is_straight, rounds, ratio)
        moved = length * _turned(self.shift[clip], (rounds - 1.0) * half)
        position = _turned(qpos[at : at + 2], angle) + moved
        turned = _multiplied_about_z(angle, qpos[at + 3 : at + 7])
        qpos = qpos.at[at : at + 2].set(position).at[at + 3 : at + 7].set(turned)
        return qpos, qvel.at[dof : dof + 2].set(_turned(qvel[dof : dof + 2], angle))


def make_motion_set(
    model: mujoco.MjModel,
    clips: Sequence[Clip],
    ctrl_dt: float,
    weights: Sequence[float] = (),
    loop: bool = True,
) -> MotionSet:
    """The clips at the control rate, as arrays.

    Args:
        model: the robot that they are of.
        clips: one at least.
        ctrl_dt: s between two frames.
        weights: of each clip, not negative; empty: the clips' lengths, so that all frames are as
            likely.
        loop: whether they loop.

    Raises:
        UserError: a clip is shorter than two control steps, or all are too long for memory.
    """
    fps = 1.0 / ctrl_dt
    sampled = [resample(model, clip, fps) for clip in clips]
    for clip in sampled:
        if clip.num_frames < 3:
            raise UserError(
                f"motion={clip.name}: {clip.seconds:.3g} s long; at least two control steps of"
                f" {ctrl_dt:g} s are needed"
            )
    lengths = np.array([clip.num_frames for clip in sampled])
    if lengths.sum() > MOST_FRAMES:
        raise UserError(
            f"motion: {lengths.sum():,} frames at ctrl_dt={ctrl_dt:g} s; at most {MOST_FRAMES:,}"
        )
    share = np.array(weights if len(weights) else lengths, np.float64)
    base = _base(model)
    rounds = [_round(clip.qpos, base) for clip in sampled]
    return MotionSet(
        qpos=jnp.asarray(np.concatenate([clip.qpos for clip in sampled]), jnp.float32),
        qvel=jnp.asarray(np.concatenate([clip.qvel for clip in sampled]), jnp.float32),
        starts=jnp.asarray(np.cumsum(lengths) - lengths, jnp.int32),
        lengths=jnp.asarray(lengths, jnp.int32),
        weights=jnp.asarray(share / share.sum(), jnp.float32),
        shift=jnp.asarray([shift for shift, _ in rounds], jnp.float32),
        turn=jnp.asarray([turn for _, turn in rounds], jnp.float32),
        fps=fps,
        loop=loop,
        base=base,
        names=tuple(clip.name for clip in sampled),
    )


def _base(model: mujoco.MjModel) -> tuple[int, int] | None:
    """Addresses of the free joint that a round carries on; None: there is not exactly one."""
    bases = base_candidates(model)
    joint = free_joint_of(model, bases[0]) if len(bases) == 1 else None
    if joint is None:
        return None
    return int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])


def _round(qpos: np.ndarray, base: tuple[int, int] | None) -> tuple[np.ndarray, float]:
    """`shift` and `turn` of one clip."""
    if base is None:
        return np.zeros(2), 0.0
    at = base[0]
    first, last = qpos[0, at : at + 7], qpos[-1, at : at + 7]
    turn = _yaw(last[3:]) - _yaw(first[3:])
    cosine, sine = np.cos(turn), np.sin(turn)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return last[:2] - rotation @ first[:2], float(np.arctan2(sine, cosine))


def _yaw(quaternion: np.ndarray) -> float:
    w, x, y, z = quaternion
    return float(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)))


def _turned(vector: jax.Array, angle: jax.Array) -> jax.Array:
    """A horizontal vector `[2]` turned by an angle."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    x, y = vector
    return jnp.stack([cosine * x - sine * y, sine * x + cosine * y])


def _multiplied_about_z(angle: jax.Array, quaternion: jax.Array) -> jax.Array:
    """An orientation `[4]` turned by an angle about the vertical."""
    c, s = jnp.cos(0.5 * angle), jnp.sin(0.5 * angle)
    w, x, y, z = quaternion
    return jnp.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w])
