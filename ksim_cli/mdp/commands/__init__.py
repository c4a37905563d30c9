"""Commands: targets that the policy is told and rewards compare with."""

from ksim_cli.mdp.commands.drawn import commanded
from ksim_cli.mdp.commands.motion import LinearVelocity
from ksim_cli.mdp.commands.timed import SinusoidalGait

__all__ = ["LinearVelocity", "SinusoidalGait", "commanded"]
