"""Run folders as ksim writes them, without training anything."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from ksim_cli.config.saved import config_text
from tests.helpers import run_config

VERSIONS = {"ksim": "0.1.0", "jax": "0.12.0"}


def write_run(
    folder: Path, *overrides: str, rows: Any = (), ended: bool = True, **changes: Any
) -> Path:
    """Write a run of the cart-pole; returns its folder.

    Args:
        folder: where.
        overrides: of its config.
        rows: of its metrics; `iteration` and `env_steps` are added.
        ended: whether there is a summary.
        changes: fields of its config, whatever they hold; `returned` is its evaluation.
    """
    returned = changes.pop("returned", 10.0)
    folder.mkdir(parents=True)
    config = dataclasses.replace(run_config("task=cartpole", *overrides), **changes)
    (folder / "config.yaml").write_text(config_text(config))
    counted = [{"iteration": i, "env_steps": 100 * i} | row for i, row in enumerate(rows, start=1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in counted))
    if ended:
        summary = {
            "env_steps": 100 * len(counted),
            "iterations": len(counted),
            "wall_seconds": 60.0,
            "env_steps_per_second": 1000.0,
            "eval_return_mean": returned,
            "eval_return_per_seed": [returned],
            "eval_episode_length": 500.0,
            "eval_command_errors": {"velocity": 0.125},
            "versions": VERSIONS,
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def rising(count: int = 5, slope: float = 1.0) -> list[dict[str, float]]:
    """Rows of a run that learns."""
    return [
        {"episode_return": slope * i, "reward": 0.1 * i, "reward/balance": 0.1 * i, "loss": 1 / i}
        for i in range(1, count + 1)
    ]
