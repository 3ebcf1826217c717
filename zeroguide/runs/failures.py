"""The list of images that failed: one {"file", "error"} a line; in a run with their "key", too."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import IO

from zeroguide.errors import OutputError
from zeroguide.system.files import readable_name


class Failures:
    """A run's list, written line by line, so that a killed run has it, too.

    The list of the last run goes; there is no file if nothing fails. Raises OutputError if it can't
    be written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._file: IO[str] | None = None
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._problem(error) from error

    def add(self, name: str, error: str, key: str | None = None) -> None:
        """Write the line of an image that failed."""
        said = {} if key is None else {"key": key}
        line = json.dumps({**said, "file": readable_name(name), "error": readable_name(error)})
        try:
            if self._file is None:
                self._file = open(self.path, "w", encoding="utf-8")  # noqa: SIM115
            print(line, file=self._file, flush=True)
        except OSError as error:
            raise self._problem(error) from error

    def close(self, *, keep: bool) -> None:
        """No more will come; without `keep` the list goes."""
        if self._file is not None:
            self._file.close()
            if not keep:
                self.path.unlink(missing_ok=True)

    def _problem(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.path}: can't be written ({error.strerror}); make room or choose another folder "
            "with -o"
        )
