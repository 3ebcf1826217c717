"""Playroom: rendered scenes with exact segments, names and captions.

Things (colour emoji) stand on one to three regions of stuff (procedural textures). Every scene is a
pure function of ``(seed, index)``, so a "dataset" is a seed and a range of indices, and a held-out
set is another seed. Glyphs of Noto Color Emoji come with the package.
"""

from zeroguide.playroom.captions import caption, phrase
from zeroguide.playroom.names import NAMES, STUFF, THINGS
from zeroguide.playroom.scene import Scene, render

__all__ = ["NAMES", "STUFF", "THINGS", "Scene", "caption", "phrase", "render"]
