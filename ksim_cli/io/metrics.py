"""metrics.jsonl, the run's own record of its scalars."""

import json
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from ksim_cli.errors import UserError
from ksim_cli.io.files import open_own, plain, refuse_link, replace_text


class MetricsLog:
    """Rows of scalars, one JSON object a line, each with its `iteration`."""

    def __init__(self, path: Path) -> None:
        """Look at `path`, which the first `append` makes."""
        self.path = path
        self._file: FileIO | None = None
        self._waiting = b""

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row and hand it to the system, so that a kill cannot take it back.

        A row that cannot be written waits, and is tried again with the next.

        Args:
            row: name to value in the order to keep, `iteration` among them; NaN and infinities are
                written as null.

        Raises:
            ValueError: `iteration` is missing or no integer.
            OSError: it cannot be written now.
        """
        _iteration(row)
        self._waiting += json.dumps(plain(row), allow_nan=False).encode("utf-8") + b"\n"
        self.write_waiting()

    def write_waiting(self) -> None:
        """Write the rows that wait, all of them or none.

        Raises:
            OSError: they cannot be written now.
        """
        if not self._waiting:
            return
        if self._file is None or not self.path.exists():  # somebody removed it
            self.close()
            self._drop_torn_line()
            self._file = open_own(self.path, "ab")
        size, rest = os.fstat(self._file.fileno()).st_size, self._waiting
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(size)
            self.close()
            raise
        self._waiting = b""

    def truncate_after(self, iteration: int) -> None:
        """Drop the rows after `iteration` and a torn last line; all at once or not at all."""
        self.close()
        refuse_link(self.path)
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

    def _drop_torn_line(self) -> None:
        """Drop a last line without an end, which the next row would be glued to."""
        refuse_link(self.path)
        if self.path.exists() and not (text := self.path.read_bytes()).endswith(b"\n"):
            os.truncate(self.path, text.rfind(b"\n") + 1)

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
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{self.path}, line {number}: not a row of metrics ({error}). "
                    "Remove the line, or the file, and start again."
                ) from error
            lines.append((line, row))
        return lines


def _iteration(row: Any) -> int:
    """The row's `iteration`; ValueError if there is none."""
    value = row.get("iteration") if isinstance(row, Mapping) else None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError("no integer 'iteration'")
    return int(value)  # type: ignore[arg-type]  # __index__ was found above
