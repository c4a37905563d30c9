"""What is kept of one environment's steps, to be drawn and plotted."""

from typing import Any

import jax
import numpy as np
from flax import struct

from ksim_cli.mdp.markers import markers_of
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.rl.rollout import Experience
from ksim_cli.types import Marker
from ksim_cli.view.markers import Markers


class Frame(struct.PyTreeNode):
    """A step of one environment; of a film, each array has a leading axis of T.

    Attributes:
        qpos: `[nq]` after the step and before any reset.
        qvel: `[nv]` then.
        time: s since the episode began.
        reward: the total reward.
        rewards: name -> weighted reward.
        command_errors: name -> how far the step was from it, in its unit.
        commands: name -> the value in force.
        obs: group -> `[O]` what the policy saw before it acted.
        action: `[A]`.
        terminations: name -> bool, whether it fired.
        markers: what the terms show.
    """

    qpos: Any
    qvel: Any
    time: Any
    reward: Any
    rewards: dict[str, Any]
    command_errors: dict[str, Any]
    commands: dict[str, Any]
    obs: dict[str, Any]
    action: Any
    terminations: dict[str, Any]
    markers: tuple[Marker, ...]


def frame_of(mdp: Mdp, experience: Experience) -> Frame:
    """The frame of environment 0 at the first step of what was played.

    Args:
        mdp: the terms; the environments' results hold `Layout.marker_fields`.
        experience: one step or more.
    """
    first: Experience = jax.tree.map(
        lambda x: x[0, 0],
        experience.replace(carry=(), last_obs={}, last_carry=(), record=()),
    )
    step = first.results.steps
    return Frame(
        qpos=step.view.qpos,
        qvel=step.view.qvel,
        time=step.time,
        reward=first.scores.total,
        rewards=dict(first.scores.components),
        command_errors=dict(first.scores.command_errors),
        commands=dict(step.commands),
        obs=dict(first.obs),
        action=first.action,
        terminations=dict(first.results.causes),
        markers=markers_of(mdp, step),
    )


class Film:
    """An episode of one environment: a `Frame` whose arrays have an axis of T, on the host."""

    def __init__(self, frames: Any, length: int) -> None:
        """Keep what was played.

        Args:
            frames: the frames; what is after the end is cut off.
            length: control steps of the episode.
        """
        self.length = length
        self.frames: Frame = jax.tree.map(lambda x: np.asarray(x)[:length], frames)

    def shown(self, every: float, longest: int) -> np.ndarray:
        """Indices of the frames of a video.

        Args:
            every: control steps between two of them; below 1 some are shown again.
            longest: control steps that it may last.
        """
        count = max(1, int(np.ceil(min(self.length, longest) / every)))
        return np.minimum((np.arange(count) * every).astype(int), self.length - 1)

    def markers(self, frames: np.ndarray) -> Markers:
        """Markers of some frames."""
        return Markers.of(jax.tree.map(lambda x: x[frames], self.frames.markers))
