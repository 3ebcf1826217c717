"""`zeroguide eval`: a method's segments and names against ground truth, from run to report.

| module | what it does |
|---|---|
| `results` | what a run found, as results.json; the one table of protocols and metrics |
| `predictions` | what is scored, and folders of it written by any tool |
| `pipeline` | the same from a `Labeler`, whole or with a stage replaced by the truth |
| `sentences` | sentence embeddings, for the comparison of texts with texts |
| `rows` | the numbers of one image, all that is kept of it |
| `summary` | all images' rows -> results with intervals |
| `runner` | image after image: scoring beside inference, resuming, failures as rows |
"""
