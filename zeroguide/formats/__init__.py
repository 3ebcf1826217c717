"""What a Labeling, or a whole run, can be written as: one module for each format."""

from zeroguide.files import write_atomically

__all__ = ["write_atomically"]
