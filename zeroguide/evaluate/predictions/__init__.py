"""What is scored: our own pipeline's segments, or a folder that any tool has written.

`prediction` is the type; `pipeline` and `segments` make ours; `folder` reads others' by `files`,
`coco` and `panoptic`.
"""
