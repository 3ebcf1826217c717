"""Scores of segments and their names against ground truth: pure functions on numpy arrays.

One module per family of metrics; `overlap.intersections` counts the pixels most of them start from.
"""
