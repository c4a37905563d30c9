"""Observations: what the networks see."""

from ksim_cli.mdp.observations.base import ProjectedGravity
from ksim_cli.mdp.observations.bodies import BodyPosition
from ksim_cli.mdp.observations.feet import FeetContact
from ksim_cli.mdp.observations.joints import JointPosition
from ksim_cli.mdp.observations.task import CommandObservation

__all__ = [
    "BodyPosition",
    "CommandObservation",
    "FeetContact",
    "JointPosition",
    "ProjectedGravity",
]
