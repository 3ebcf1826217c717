"""A run's images shared by machines that know nothing of each other."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from zeroguide.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """One of `of` parts of a run's images, numbered from 1: those whose keys' hashes say so."""

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``"2/8"``. Raises UsageError for anything else."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard {text!r}: write i/n with i from 1 to n, for example 1/8")
        return cls(int(match[1]), int(match[2]))

    def has(self, key: str) -> bool:
        """Whether an image belongs to this part, whatever other images there are."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.index - 1

    def file_name(self, name: str) -> str:
        """``"run.json"`` -> ``"run-2-of-8.json"``: parts write files of their own."""
        stem, suffix = os.path.splitext(name)
        return f"{stem}-{self.index}-of-{self.of}{suffix}"
