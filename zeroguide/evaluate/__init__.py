"""Measured against ground truth: data sets, metrics, a run of `zeroguide eval`, and discovery.

`command` is a run as a user describes it, `runner` goes image by image, `suite` does several.
`datasets/` read truths, `metrics/` are pure functions on arrays, `predictions/` are what is
scored, `scoring/` makes numbers and `reports/` show them. `discovery` and `taxonomy` find a
folder's own classes.
"""
