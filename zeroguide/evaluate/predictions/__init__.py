"""What is scored: our own pipeline's segments, or a folder that any tool has written.

`prediction` is the type; `pipeline` and `segments` make ours; `folder` reads others' by `files`,
`coco` and `panoptic`. Names and tables of COCO are read as those of masks: `runs.masks`.
"""
