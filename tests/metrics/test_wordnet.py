"""WordNet's files: a handful of senses written in the real format, and Debian's if installed."""

import zipfile
from pathlib import Path

import pytest

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.metrics.lac import Level
from zeroguide.evaluate.metrics.wordnet import WordNet

DEBIAN = Path("/usr/share/wordnet")
# Words, hypernyms, parts: of each sense by number.
SENSES = [
    (["thing"], [], []),
    (["animal", "beast"], [0], [4]),
    (["dog", "domestic_dog"], [1], []),
    (["golden_retriever"], [2], []),
    (["tail"], [0], [5]),
    (["tip_of_the_tail"], [0], []),
    (["car", "automobile"], [0], []),
    (["person"], [0], []),
    (["woman"], [7], []),
    (["ostrich", "bus"], [1], []),
    (["crosswalk"], [0], []),
]


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory):
    """A folder as wndb(5WN) describes it, with a licence before the data as the real ones have."""
    folder = tmp_path_factory.mktemp("wordnet")
    licence = "  1 A licence of one line.  \n"

    def line(sense: int, offsets: list[str]) -> str:
        words, above, parts = SENSES[sense]
        pointers = [f"@ {offsets[i]} n 0000" for i in above]
        pointers += [f"%p {offsets[i]} n 0000" for i in parts]
        pointers += [f"+ {offsets[0]} v 0101"]  # to a verb: not one of these senses
        head = f"{offsets[sense]} 05 n {len(words):02x} " + " ".join(f"{w} 0" for w in words)
        return f"{head} {len(pointers):03d} {' '.join(pointers)} | a gloss; @ 00000000 n  \n"

    offsets, place = [], len(licence)
    for sense in range(len(SENSES)):
        offsets.append(f"{place:08d}")
        place += len(line(sense, ["0" * 8] * len(SENSES)))
    lines = [line(sense, offsets) for sense in range(len(SENSES))]
    (folder / "data.noun").write_text(licence + "".join(lines))
    index = {}
    for offset, (words, _, _) in zip(offsets, SENSES, strict=True):
        for word in words:
            index.setdefault(word, []).append(offset)
    (folder / "index.noun").write_text(
        licence
        + "".join(
            f"{word} n {len(found)} 2 @ %p {len(found)} 0 {' '.join(found)}  \n"
            for word, found in sorted(index.items())
        )
    )
    (folder / "noun.exc").write_text("women woman\n")
    return folder


@pytest.fixture(scope="module")
def small(small_folder):
    return WordNet(small_folder)


@pytest.mark.parametrize(
    ("label", "name", "level"),
    [
        ("Dog", "dog", Level.EXACT),
        ("a domestic dog", "dog", Level.SYNONYM),
        ("dogs", "dog", Level.SYNONYM),
        ("golden retriever", "dog", Level.HYPONYM),
        ("golden retrievers", "animal", Level.HYPONYM),
        ("small car", "car", Level.HYPONYM),
        ("small automobile", "car", Level.HYPONYM),
        ("small gizmo", "gizmo", Level.HYPONYM),  # WordNet needn't know the class
        ("tail", "animal", Level.MERONYM),
        ("tail", "golden retriever", Level.MERONYM),  # inherited
        ("tip of the tail", "dog", Level.MERONYM),  # a part's part
        ("women", "person", Level.HYPONYM),
        ("buses", "bus", Level.SYNONYM),
        ("cross-walk", "crosswalk", Level.SYNONYM),
        ("animal", "dog", Level.NONE),  # broader, not narrower
        ("dog", "tail", Level.NONE),
        ("dog", "car", Level.NONE),
        ("gizmo", "car", Level.NONE),
        ("", "car", Level.NONE),
    ],
)
def test_relations(small, label, name, level):
    assert small.relation(label, name) is level


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's wordnet-base isn't installed")
@pytest.mark.parametrize(
    ("label", "name", "level"),
    [
        ("sofa", "couch", Level.SYNONYM),
        ("television", "tv", Level.SYNONYM),
        ("children", "person", Level.HYPONYM),
        ("red car", "vehicle", Level.HYPONYM),
        ("wheel", "car", Level.MERONYM),
        ("tree trunk", "tree", Level.MERONYM),
        ("vehicle", "car", Level.NONE),
    ],
)
def test_real_words(label, name, level):
    assert WordNet(DEBIAN).relation(label, name) is level


def test_missing_wordnet_says_what_to_do(tmp_path):
    with pytest.raises(ZeroguideError, match="apt-get install wordnet-base") as error:
        WordNet(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_reads_the_archive_that_nltk_downloads(small_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "wordnet.zip", "w") as archive:
        for path in small_folder.iterdir():
            archive.write(path, f"wordnet/{path.name}")
    found = WordNet(tmp_path / "wordnet")
    assert found.relation("beast", "animal") is Level.SYNONYM
    (tmp_path / "wordnet.zip").write_bytes(b"cut off")
    with pytest.raises(ZeroguideError, match="no WordNet"):
        WordNet(tmp_path / "wordnet")


def test_looks_where_the_user_says(small, tmp_path, monkeypatch):
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path))
    for name in ("index.noun", "data.noun", "noun.exc"):
        (tmp_path / name).write_text("x n 0\n")
    assert WordNet().relation("sofa", "couch") is Level.NONE
