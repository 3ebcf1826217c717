"""Pixels in: any image file, array or Pillow image -> upright 8-bit sRGB, or one clear sentence.

`opening` is the door. What it goes through: `limits` on size, `pillow_formats`, `rgb` with
`value_range`, `deep_colour` and `colour_profile`. What can't be read: `kinds` and `refusals`.
`ids` reads label maps, whose pixels are numbers.
"""

from zeroguide.image.opening import (
    Image,
    ImageSource,
    check_image,
    from_array,
    from_pillow,
    open_image,
    path_of,
    read_file,
    read_image,
    to_image,
)

__all__ = [
    "Image", "ImageSource", "check_image", "from_array", "from_pillow", "open_image", "path_of",
    "read_file", "read_image", "to_image",
]  # fmt: skip
