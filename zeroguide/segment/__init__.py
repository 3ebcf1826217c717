"""From pixels to over-segments: what goes together, before anything has a name.

`features` are those of a DINO, read from its `block_outputs`; `segmenters/` cluster one picture's,
one file a method, and choose how many; `fitted/` are models that have seen a folder; `refine` moves
borders onto the picture's, by `pamr`.
"""
