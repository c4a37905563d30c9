"""Train robot controllers by reinforcement learning in simulation, from configuration."""

from pathlib import Path

__version__ = "0.1.0"

if not (Path(__file__).parent / "tasks").is_dir():
    # In a checkout tasks/ lies beside the package; in a wheel it lies inside.
    __path__.append(str(Path(__file__).parent.parent))
