"""`zeroguide eval`: a method's segments and names against ground truth, from run to report.

| module | what it does |
|---|---|
| `command` | a run as a user describes it: opened, checked, run, written |
| `runner` | image after image: scoring beside inference, resuming, failures as rows |
| `predictions`, `prediction_*` | what is scored, and folders of it written by any tool |
| `pipeline` | predictions of our own, whole or with a stage replaced by the truth |
| `segments` | our segments alone, a fitted model's classes as labels |
| `sentences` | sentence embeddings, for the comparison of texts with texts |
| `protocols`, `scoring*` | one image's numbers, by family of metrics |
| `rows` | what is kept of an image: the file that a stopped run goes on with |
| `summary` | all images' rows -> numbers with intervals |
| `results`, `metrics_table` | what a run found, as results.json; which metrics there are |
| `report`, `html_report`, `drawing` and what they use | results -> tables, pages, pictures |
| `compare`, `suite`, `published` | two runs; several runs beside published numbers |
"""
