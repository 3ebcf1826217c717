"""zeroguide inside the tools where people already work: one module for each of them.

They turn what a tool hands over into an image or masks, and a `Labeling` into what the tool keeps;
the flow is `labeler`'s. A tool's own package is needed by its module only. supervision needs none:
`Labeling.to_supervision`, `Labeler.name_masks`.
"""
