"""Readers of ground truth: published data sets in their official layouts, and anybody's own.

``load_dataset(name, root)`` opens one, ``check()`` says in one sentence what is missing and where
it is had, and each `Sample` gives an image, its semantic truth and its regions. Data is never
downloaded: most of these sets want their terms accepted first.
"""

from zeroguide.evaluate.datasets.base import VOID, ClassName, Dataset, Regions, Sample
from zeroguide.evaluate.datasets.registry import DATASETS, load_dataset

__all__ = ["DATASETS", "VOID", "ClassName", "Dataset", "Regions", "Sample", "load_dataset"]
