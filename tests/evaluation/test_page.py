"""The page about evaluation: its examples give what it says, its commands are ours."""

import doctest
import re
from pathlib import Path

from zeroguide.evaluate.datasets import DATASETS
from zeroguide.evaluate.scoring.results import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_the_examples():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 20 and found.failed == 0


def test_the_matchings_are_those_of_the_metric():
    section = PAGE.read_text(encoding="utf-8").partition("\n## Clusters without names\n")[2]
    rows = re.findall(r"^\| ([\w' -]+) \|", section, re.MULTILINE)
    assert tuple(rows[1:]) == METRICS["cluster_miou"].variants


def test_data_sets_are_ours():
    names = re.findall(r"--dataset ([\w-]+)", PAGE.read_text(encoding="utf-8"))
    assert names and set(names) <= {*DATASETS, "list"}
