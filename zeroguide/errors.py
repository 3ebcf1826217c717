"""Errors a user can cause and mend: one sentence each, naming file, problem and remedy."""

from __future__ import annotations


class ZeroguideError(Exception):
    """Base of all errors reported to the user without a traceback; exit code 1."""

    exit_code = 1


class UsageError(ZeroguideError):
    """A wrong flag, preset, key or value; exit code 2."""

    exit_code = 2


class ImageError(ZeroguideError):
    """An image file that can't be read or is outside the supported limits."""


class WeightsError(ZeroguideError):
    """A model's weights are missing, incomplete, damaged or can't be downloaded."""
