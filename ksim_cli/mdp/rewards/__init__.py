"""Rewards. Penalties are the same thing with a negative weight.

What is wanted has a value in [0, 1], what is to be avoided a value from 0 up: give it a negative
weight.
"""

from ksim_cli.mdp.rewards.feet import FeetAirTime, FeetSlip
from ksim_cli.mdp.rewards.joints import JointDeviation
from ksim_cli.mdp.rewards.posture import StayAlive
from ksim_cli.mdp.rewards.smoothness import ActionVelocity
from ksim_cli.mdp.rewards.space import PositionTracking
from ksim_cli.mdp.rewards.tracking import LinearVelocityTracking

__all__ = [
    "ActionVelocity",
    "FeetAirTime",
    "FeetSlip",
    "JointDeviation",
    "LinearVelocityTracking",
    "PositionTracking",
    "StayAlive",
]
