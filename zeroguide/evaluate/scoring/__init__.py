"""From a prediction and the truth to numbers: image by image, then of all images.

`protocols` says what can be asked, `metrics_table` what is found; `image`, `masks` and `named`
score one image into a row of `rows`; `summary` makes `results` of all rows.
"""
