"""Which keys there have been: exact, and flat in memory however many there are."""

from __future__ import annotations

import sqlite3
import tempfile

from zeroguide.errors import ZeroguideError


class Seen:
    """Keys, each with what it stands for, in a temporary database that leaves memory when it grows.

    It lies in the system's folder for temporary files and goes with the object. `add` raises
    ZeroguideError if that is full.
    """

    def __init__(self) -> None:
        # Not used by two threads at once, but the run may be read on in another one.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def add(self, key: str, value: str) -> str | None:
        """Remember a key; returns what it stood for before, None if it is new."""
        row = (_bytes(key), _bytes(value))
        try:
            new = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", row)
        except sqlite3.OperationalError as error:
            raise ZeroguideError(
                f"{tempfile.gettempdir()}: the list of images doesn't fit there ({error}); make "
                "room or set TMPDIR to another folder"
            ) from None
        if new.rowcount:
            return None
        found = self._database.execute("SELECT value FROM seen WHERE key = ?", row[:1]).fetchone()
        return str(found[0].decode("utf-8", "surrogatepass"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # names that aren't UTF-8
