"""The class lists: how many, no name twice, no synonym that is another class."""

import re
from importlib.resources import files

import pytest

from zeroguide.evaluate.datasets.classes import read_classes

COUNTS = {
    "ade20k_150": 150,
    "ade20k_847": 847,
    "camvid_11": 11,
    "cityscapes_19": 19,
    "cityscapes_27": 27,
    "coco_panoptic": 133,
    "coco_stuff": 171,
    "coco_stuff_27": 27,
    "pascal_context_59": 59,
    "pascal_context_459": 459,
    "voc": 21,
}
EVERY = pytest.mark.parametrize("name", COUNTS)

# Reference list -> ours. A class is the same if it shares a word for it, singular or plural.
REFERENCES = {
    "ade20k_150": ("ade20k_150", 1, {"house", "base", "blind", "fan"}),
    "ade20k_847": ("ade20k_847", 1, {"house", "base", "fan", "check-in desk"}),
    "cityscapes": ("cityscapes_19", 0, set()),
    "pascal_ctx_459": ("pascal_context_459", 1, set()),
    "pascal_ctx_59": ("pascal_context_59", 1, {"computer"}),
    "pascal_voc_21": ("voc", 0, set()),
}


def test_every_list_is_tested():
    tables = (files("zeroguide.evaluate.datasets") / "classes").iterdir()
    mappings = {"camvid_colours", "coco_stuff_coarse"}
    assert {path.name.removesuffix(".tsv") for path in tables} == set(COUNTS) | mappings


@EVERY
def test_counts_and_no_duplicates(name):
    listed = read_classes(name)
    names = [each.name for each in listed.classes]
    assert len(names) == len(set(names)) == len(set(listed.ids)) == COUNTS[name]


@EVERY
def test_a_synonym_means_one_class_only(name):
    classes = read_classes(name).classes
    words = [word for each in classes for word in (each.name, *each.synonyms)]
    assert sorted(words) == sorted(set(words))


@EVERY
def test_names_are_spelled_as_people_write(name):
    for each in read_classes(name).classes:
        for word in (each.name, *each.synonyms):
            assert re.fullmatch(r"[a-z]+([ '-][a-z]+)*", word), word
        assert each.official
        assert not re.search(r"-(other|stuff|merged|things)$", each.name)


def test_kinds():
    def things(name):
        return [each.name for each in read_classes(name).classes if each.kind == "thing"]

    assert len(things("coco_stuff")) == len(things("coco_panoptic")) == 80
    assert len(things("ade20k_150")) == 100
    assert len(things("coco_stuff_27")) == 12
    assert len(things("voc")) == 20
    assert things("cityscapes_19") == [
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ]
    assert things("pascal_context_459") == []


def test_spellings_of_the_data_sets_are_kept():
    official = {each.name: each.official for each in read_classes("voc").classes}
    assert official["dining table"] == "diningtable"
    assert official["potted plant"] == "pottedplant"
    assert official["tv monitor"] == "tvmonitor"
    assert official["dog"] == "dog"


def test_known_ids():
    def ids(name):
        listed = read_classes(name)
        return {each.name: value for each, value in zip(listed.classes, listed.ids, strict=True)}

    assert ids("coco_stuff")["person"] == 0
    assert ids("coco_stuff")["toothbrush"] == 89
    assert ids("coco_stuff")["banner"] == 91
    assert ids("coco_stuff")["wood"] == 181
    assert ids("ade20k_847")["wall"] == 2978
    assert ids("pascal_context_59")["wood"] == 458
    assert ids("cityscapes_19")["bicycle"] == 33


def test_context_59_is_part_of_459():
    full = dict(zip(*reversed(_ids_and_names("pascal_context_459")), strict=True))
    for name, value in zip(*_ids_and_names("pascal_context_59"), strict=True):
        assert name in full[value] or full[value] == "lamp"


def _ids_and_names(name):
    listed = read_classes(name)
    return [each.name for each in listed.classes], listed.ids


def test_cityscapes_19_is_part_of_27():
    scored, all_27 = read_classes("cityscapes_19"), read_classes("cityscapes_27")
    pairs = list(zip(all_27.classes, all_27.ids, strict=True))
    assert all(pair in pairs for pair in zip(scored.classes, scored.ids, strict=True))
    assert all_27.ids == tuple(range(7, 34))


@pytest.mark.parametrize("reference", REFERENCES)
def test_order_agrees_with_an_independent_list(shared, reference):
    ours, first, renamed = REFERENCES[reference]
    lines = (shared / "classnames" / f"{reference}.txt").read_text().splitlines()[first:]
    classes = read_classes(ours).classes
    assert len(lines) == len(classes)
    for line, each in zip(lines, classes, strict=True):
        theirs = {word.strip() for word in line.partition(":")[2].split(",")}
        mine = {each.name, *each.synonyms, each.official}
        same = theirs & (mine | {f"{word}s" for word in mine})
        assert same or each.name in renamed, line


def test_coco_stuff_agrees_with_an_independent_list(shared):
    lines = (shared / "classnames" / "coco_stuff.txt").read_text().splitlines()
    theirs = dict(line.split(":", 1) for line in lines)
    listed = read_classes("coco_stuff")
    named = {int(i) for i, words in theirs.items() if words != "invalid_class_id"}
    assert {value + 1 for value in listed.ids} == named
    for each, value in zip(listed.classes, listed.ids, strict=True):
        words = theirs[str(value + 1)].split(",")
        assert {each.name, each.official, *each.synonyms} & set(words)
