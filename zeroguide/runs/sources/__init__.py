"""Where images come from: whatever the command line names, as a lazy series of items.

`find_items` is for runs of any size and any kind of input; `find_images` is for commands that need
a list of local files.
"""

from zeroguide.runs.sources.item import Item
from zeroguide.runs.sources.items import Items, find_items
from zeroguide.runs.sources.listing import find_images

__all__ = ["Item", "Items", "find_images", "find_items"]
