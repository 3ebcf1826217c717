"""Masks that other tools have drawn, to be named: files of SAM, annotation tools and our own.

`files` finds an image's masks by its `names`; `formats` reads each kind of file, COCO's by its
`coco_tables`, into `drawn` masks, which are checked when the image's size is known. No torch here.
"""
