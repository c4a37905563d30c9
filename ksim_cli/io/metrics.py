"""metrics.jsonl, the run's own record of its scalars, and the extra loggers beside it."""

import importlib
import json
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.io.files import plain, replace_text


class MetricsLog:
    """Rows of scalars, one JSON object a line, each with its `iteration`."""

    def __init__(self, path: Path) -> None:
        """Look at `path`, which the first `append` makes."""
        self.path = path
        self._file: TextIO | None = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row and hand it to the system, so that a kill cannot take it back.

        Args:
            row: name to value in the order to keep, `iteration` among them; NaN and infinities are
                written as null.

        Raises:
            ValueError: `iteration` is missing or no integer.
        """
        _iteration(row)
        line = json.dumps(plain(row), allow_nan=False)
        if self._file is None:
            self.truncate_after(sys.maxsize)  # a torn line, which this row would be glued to
            self._file = open(self.path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115
        self._file.write(line + "\n")
        self._file.flush()

    def truncate_after(self, iteration: int) -> None:
        """Drop the rows after `iteration` and a torn last line; all at once or not at all."""
        self.close()
        lines = self._lines()
        kept = [line for line, row in lines if _iteration(row) <= iteration]
        if self.path.exists():
            replace_text(self.path, b"".join(kept).decode("utf-8"))

    def read(self) -> list[dict[str, Any]]:
        """All rows; none if the file is not there, and without a last line that a kill tore.

        Raises:
            UserError: some other line is not a row.
        """
        return [row for _, row in self._lines()]

    def close(self) -> None:
        """Close the file; a later `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _lines(self) -> list[tuple[bytes, dict[str, Any]]]:
        """Each whole line with its newline, and the row it spells."""
        if not self.path.exists():
            return []
        lines: list[tuple[bytes, dict[str, Any]]] = []
        for number, line in enumerate(self.path.read_bytes().splitlines(keepends=True), start=1):
            if not line.endswith(b"\n"):
                break  # torn by a kill in the middle of a write
            try:
                row = json.loads(line)
                _iteration(row)
            except ValueError as error:
                raise UserError(
                    f"{self.path}, line {number}: not a row of metrics ({error}). "
                    "Remove the line, or the file, and start again."
                ) from error
            lines.append((line, row))
        return lines


class Sink(Protocol):
    """Somewhere else that rows go."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Take one row of plain values."""
        ...

    def close(self) -> None:
        """Hand over what is still held."""
        ...


class Loggers:
    """The extra sinks of a run. One that fails is named once and left out; the run goes on."""

    def __init__(self, sinks: Mapping[str, Sink], warn: Callable[[str], None]) -> None:
        """Hold `sinks` by name; `warn` is called with one sentence when one is dropped."""
        self._sinks = dict(sinks)
        self._warn = warn

    @property
    def names(self) -> list[str]:
        """Sinks that still take rows."""
        return list(self._sinks)

    def log(self, row: Mapping[str, Any]) -> None:
        """Give `row` to every sink."""
        values = plain(row)
        for name in self.names:
            try:
                self._sinks[name].log(dict(values))
            except Exception as error:  # a dead service must not end a training
                self._drop(name, error)

    def close(self) -> None:
        """Close every sink."""
        for name in self.names:
            try:
                self._sinks.pop(name).close()
            except Exception as error:  # as above
                self._drop(name, error)

    def _drop(self, name: str, error: Exception) -> None:
        """Say that `name` failed, and go on without it."""
        self._sinks.pop(name, None)
        self._warn(
            f"logger {name} failed and is left out from now on ({type(error).__name__}: {error}). "
            "The run goes on; metrics.jsonl has every row."
        )


def open_loggers(
    names: Sequence[str],
    folder: Path,
    config: Mapping[str, Any],
    warn: Callable[[str], None],
) -> Loggers:
    """Open the sinks called `names` (`tensorboard`, `wandb`).

    Args:
        names: the sinks wanted.
        folder: the run's folder, which also names the run.
        config: the resolved configuration as plain data; `logger.wandb_project` is read from it.
        warn: told once about a sink that fails later.

    Raises:
        UserError: an unknown name, a package that is not installed, or a sink that cannot start.
    """
    for name in names:
        if name not in _SINKS:
            raise UserError(
                f"logger: no logger {name!r}. Available: {listing(_SINKS)}.{nearest(name, _SINKS)}"
            )
    sinks: dict[str, Sink] = {}
    for name in dict.fromkeys(names):
        try:
            sinks[name] = _SINKS[name](folder, config)
        except ImportError as error:
            raise UserError(
                f"logger.{name}: its package is not installed ({error}). "
                f"Install it with: pip install 'ksim[{name}]' or leave logger.{name} out."
            ) from error
        except Exception as error:
            raise UserError(
                f"logger.{name} cannot start: {error}. Leave logger.{name} out to train without it."
            ) from error
    return Loggers(sinks, warn)


class _TensorBoard:
    """Event files in the run's folder, read by `tensorboard --logdir`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        del config
        module = importlib.import_module("tensorboardX")
        self._writer = module.SummaryWriter(logdir=str(folder / "tensorboard"))

    def log(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and name != "iteration":
                self._writer.add_scalar(name, value, row["iteration"])

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """One run at Weights & Biases, taken up again when the run is."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        module = importlib.import_module("wandb")
        kept = folder / "wandb_id.txt"
        if not kept.exists():
            replace_text(kept, secrets.token_hex(8) + "\n")
        section = config.get("logger") or {}
        self._run = module.init(
            project=section.get("wandb_project") or "ksim",
            name=f"{folder.parent.name}/{folder.name}",
            id=kept.read_text(encoding="utf-8").strip(),
            resume="allow",
            dir=str(folder),
            config=plain(config),
        )

    def log(self, row: Mapping[str, Any]) -> None:
        values = {name: value for name, value in row.items() if value is not None}
        self._run.log(values, step=row["iteration"])

    def close(self) -> None:
        self._run.finish()


_SINKS: Mapping[str, Callable[[Path, Mapping[str, Any]], Sink]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
}


def _iteration(row: Any) -> int:
    """The row's `iteration`; ValueError if there is none."""
    value = row.get("iteration") if isinstance(row, Mapping) else None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError("no integer 'iteration'")
    return int(value)  # type: ignore[arg-type]  # __index__ was found above
