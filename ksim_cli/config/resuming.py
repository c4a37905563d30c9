"""What may be typed on `resume=`: every key takes effect, or is refused before anything is built.

A key that is not named here takes effect from the first iteration on; what is drawn at a reset,
from the next episode of each environment on. A value that the state holds (an adaptive `kl_coef`,
the level of `curriculum=constant`) replaces the saved one where it is typed, see
`ksim_cli.run.resume`. Fields of terms and whatever else shapes the state are held against the
checkpoint before anything is compiled.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ksim_cli.config.saved import config_text, read_config
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError

_SHAPES = "shapes the networks that are saved"
_BEGUN = "is of a run's beginning, which is past"
_IDENTITY = "is what the run is a run of"

REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("task.name", "task.extends", "task.type", "task.model", "task.home", "task.base"),
        _IDENTITY,
    ),
    **dict.fromkeys(("seed", "num_seeds", "algo.type"), _IDENTITY),
    "num_envs": "is how many environments the saved state has",
    **dict.fromkeys(
        ("stagger_episodes", "model.init_std", "init_from", "init_from_partial", "algo.teacher"),
        _BEGUN,
    ),
    **dict.fromkeys(
        (
            *("model.type", "model.hidden_size", "model.num_hidden_layers", "model.num_layers"),
            *("model.actor_hidden", "model.critic_hidden", "model.actor_groups"),
            *("model.critic_groups", "model.distribution", "model.num_mixtures"),
            *("model.normalize_observations", "algo.disc_groups", "algo.disc_hidden"),
        ),
        _SHAPES,
    ),
}
"""Key that a run keeps -> why."""


def changes(config: RunConfig, path: Path) -> dict[str, tuple[Any, Any]]:
    """Key -> its value in a saved config and in one of now, where they differ.

    Args:
        config: of now.
        path: the saved one.

    Raises:
        UserError: it cannot be read.
    """
    old = dict(leaves(read_config(path)))
    new = dict(leaves(yaml.safe_load(config_text(config))))
    return {
        key: (old.get(key), new.get(key))
        for key in (*new, *(key for key in old if key not in new))
        if old.get(key) != new.get(key)
    }


def refuse_changes(config: RunConfig, path: Path) -> None:
    """Refuses to go on with a run with a key changed that it keeps.

    Args:
        config: of now.
        path: the run's own config.

    Raises:
        UserError: it names each of them with its value in the run and the one typed.
    """
    changed = changes(config, path)
    kept = [key for key in changed if key in REFUSED]
    if "model.type" in kept:
        kept = [key for key in kept if not key.startswith("model.") or key == "model.type"]
    if kept:
        told = "\n  ".join(f"{told_change(key, *changed[key])}: {REFUSED[key]}" for key in kept)
        raise UserError(f"{told}\n  Leave it out, or train a new run without resume=")


def told_change(key: str, old: Any, new: Any) -> str:
    """A changed key as a message shows it."""
    return f"{key}={_shown(new)} (the run has {_shown(old)})"


def _shown(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).split("\n")[0]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Key and value of everything in a config that is no section."""
    if not isinstance(value, dict) or not (value or not path):
        yield path, value
        return
    for name, item in value.items():
        yield from leaves(item, f"{path}.{name}" if path else str(name))
