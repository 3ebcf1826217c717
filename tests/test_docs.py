"""The documentation says what is so: links lead somewhere, commands parse, blocks run."""

from __future__ import annotations

import doctest
import functools
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

import zeroguide
from zeroguide.cli import app
from zeroguide.cli import main as run_cli
from zeroguide.recipe import Recipe, list_recipes, recipe_keys
from zeroguide.recipe.loading import _fields

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
KNOB_BYTES = 2_500_000

# Blocks that can't run here, by a piece of their text.
NOT_RUN = {
    "pyspark": "tests/runs/test_spark.py runs it",
    "gradio_client": "tests/web/test_server.py runs it",
    "httpx": "tests/serve/test_server.py runs it",
}


@dataclass(frozen=True)
class Block:
    """A block of code: what follows the fence, and the text."""

    info: str
    text: str

    @property
    def language(self) -> str:
        return self.info.split()[0] if self.info.split() else ""

    @property
    def title(self) -> str | None:
        found = re.search(r'title="([^"]+)"', self.info)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, and those indented by four spaces."""
    text = page.read_text(encoding="utf-8")
    fenced = r"^```([^\n]*)\n(.*?)^```$"
    found = [Block(info, body) for info, body in re.findall(fenced, text, re.M | re.S)]
    rest = re.sub(fenced, "", text, flags=re.M | re.S)
    indented = re.findall(r"(?:\n\n)((?:    [^\n]*\n)+)", rest)
    return found + [Block("", re.sub("^    ", "", body, flags=re.M)) for body in indented]


def prose(page: Path) -> str:
    """A page without its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "code", text)


def anchors(page: Path) -> set[str]:
    """What MkDocs and GitHub call a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.+)$", text, re.M)
    return {
        re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
        for heading in headings
    }


def name_of(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)", prose(page))
    for link in links:
        if re.match(r"[a-z]+:", link):
            assert re.fullmatch(r"https?://[\w.-]+(/\S*)?", link), f"{page.name}: {link}"
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link} isn't there"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}: no such heading"
        if page.parent == DOCS:  # else the site would lack it
            assert DOCS in target.parents, f"{page.name}: {link} leads out of docs/"


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"[\w-]+\.md", nav))
    pages = {page.name for page in DOCS.glob("*.md")} | {"commands.md"}  # a hook writes that one
    assert listed == pages, "add new pages to nav in mkdocs.yml"


# ---- commands


def commands(text: str) -> Iterator[list[str]]:
    """Every zeroguide command of a block as its arguments, without the shell around it."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for part in line.removeprefix("$ ").split(" | "):
            if not re.match(r"(?:[A-Z_]+=\S* +)*zeroguide ", part):
                continue
            words = shlex.split(part, comments=True)
            arguments = words[words.index("zeroguide") + 1 :]
            yield [word for word in arguments if word != "..."]


def parse(arguments: list[str]) -> None:
    """Parse as the program does, without running anything; raises click's errors."""
    command: Any = typer.main.get_command(app)
    context = None
    name = "zeroguide"
    while True:
        context = command.make_context(name, list(arguments), parent=context)
        rest = [*context._protected_args, *context.args]
        if not hasattr(command, "commands") or not rest:
            return
        name, command, arguments = command.resolve_command(context, rest)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "scripts" / "reproduce.md"], ids=name_of)
def test_commands_parse(page: Path) -> None:
    for block in blocks(page):
        if block.language not in ("", "sh", "bash", "console"):
            continue
        for arguments in commands(block.text):
            if not {"--help", "--version"}.isdisjoint(arguments):
                continue
            try:
                parse(arguments)
            except typer.Exit:  # an option that answers at once: --format list
                continue
            except Exception as error:
                pytest.fail(f"{page.name}: zeroguide {shlex.join(arguments)}: {error}")


def test_parsing_would_find_a_mistake() -> None:
    parse(["models", "pull", "--preset", "fast"])
    with pytest.raises(Exception, match="--presets"):
        parse(["models", "pull", "--presets", "fast"])
    with pytest.raises(Exception, match="lable"):
        parse(["lable", "photo.jpg"])


# ---- blocks that run


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that examples name: a photo, and runs under the usual names."""
    folder = tmp_path_factory.mktemp("docs")
    Image.open(ROOT / "examples" / "playroom.png").convert("RGB").save(folder / "photo.jpg")
    arguments = ["label", str(folder / "photo.jpg"), "--preset", "tiny", "-o", str(folder / "run")]
    assert run_cli([*arguments, "--quiet", "--no-overlay"]) == 0
    for name in ("RUN", "labels", "OUT"):
        shutil.copytree(folder / "run", folder / name)
    return folder


@pytest.fixture
def tiny_is_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples name no preset; the default one's models aren't here."""
    monkeypatch.setattr(zeroguide, "label", functools.partial(zeroguide.label, preset="tiny"))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somewhere to show pictures."""
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("PIL.ImageShow.show", lambda picture: True)


@pytest.mark.usefixtures("tiny_is_default", "screen")
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name != "tutorial.md"],  # it has a test of its own
    ids=name_of,
)
def test_python_blocks_run(page: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(labelled)
    names: dict[str, Any] = {"__name__": "docs"}
    for block in blocks(page):
        if block.language != "python" or any(text in block.text for text in NOT_RUN):
            continue
        if block.text.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block.text, names, page.name, page.name, 0)
            failed = doctest.DocTestRunner().run(test, clear_globs=False).failed
            names.update(test.globs)
            assert not failed, f"{page.name}:\n{block.text}"
        else:
            exec(compile(block.text, page.name, "exec"), names)


@pytest.mark.slow
def test_recipes_run(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the page about recipes, with the files that it writes."""
    monkeypatch.chdir(labelled)
    found = blocks(DOCS / "recipes.md")
    for block in found:
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
    shutil.copytree(
        Path(zeroguide.__file__).parent / "models" / "weights" / "tiny" / "dino", "my-dino"
    )
    ran = 0
    for block in found:
        if block.language == "sh":
            for arguments in commands(block.text):
                assert run_cli([*arguments, "--quiet"]) == 0, arguments
                ran += 1
    assert ran >= 5
    named = zeroguide.result.labeling.Labeling.load("kitchen/photo.jpg.json")
    words = Path("words.txt").read_text(encoding="utf-8").split("\n")
    assert {segment.label for segment in named.segments} <= set(words)


@pytest.mark.slow
def test_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every block in its order; what the page prints is what came out, numbers nearly so."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", "examples")
    said = ""
    for block in blocks(DOCS / "tutorial.md"):
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, "tutorial.md", "exec"), {"__name__": "tutorial"})
        elif block.language == "sh":
            capfd.readouterr()
            for line in block.text.splitlines():
                words = shlex.split(line)
                if words[0] == "python":
                    code = Path(words[1]).read_text(encoding="utf-8")
                    exec(compile(code, words[1], "exec"), {"__name__": "__main__"})
                elif words[0] in ("mkdir", "cp"):
                    subprocess.run(line, shell=True, check=True)
                else:
                    assert words[0] == "zeroguide"
                    assert run_cli(words[1:]) == 0, line
            said = "".join(capfd.readouterr())
        elif block.language == "text":
            for line in block.text.splitlines():
                if line != "...":
                    assert any(_same(line, other) for other in said.splitlines()), f"{line}\n{said}"
    assert len(list(Path("run").glob("*.jpg.json"))) == 6
    assert Path("run/exports/label-studio/tasks.json").is_file()
    assert Path("umbrellas.png").is_file() and Path("joined/report.html").is_file()


def _same(line: str, other: str) -> bool:
    """Equal but for the last digits of numbers."""
    number = r"\d+(?:\.\d+)?"
    if re.sub(number, "#", line) != re.sub(number, "#", other):
        return False
    ours, theirs = (list(map(float, re.findall(number, text))) for text in (line, other))
    return all(abs(a - b) <= 0.02 + 0.1 * abs(a) for a, b in zip(ours, theirs, strict=True))


# ---- knobs and recipes


def test_every_knob_is_there_with_its_default() -> None:
    text = (DOCS / "knobs.md").read_text(encoding="utf-8")
    said = re.findall(r"^### `([^`]+)`\n\n(?:Default `([^`]*)`|(No default))\. ", text, re.M)
    assert [key for key, *_ in said] == recipe_keys(), "the page has the model's knobs in its order"
    for key, default, none in said:
        field = _fields()[key]
        if field.is_required():
            assert none, key
        else:
            assert default == _as_toml(field.default), key


def _as_toml(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def test_choices_that_the_page_of_knobs_names_exist() -> None:
    """Each choice of a knob that has few is named in its paragraph."""
    text = (DOCS / "knobs.md").read_text(encoding="utf-8")
    keys = ["embedding.mode", "merge.edges", "refine.method", "features.facet", "decoder.method"]
    for key in [*keys, "embedding.fit", "segmenter.variant"]:
        paragraph = text.partition(f"### `{key}`")[2].partition("###")[0]
        for choice in _fields()[key].annotation.__args__:
            assert f"`{choice}`" in paragraph, f"{key}={choice}"


def test_knob_pictures_are_small_and_all_used() -> None:
    used = set(re.findall(r"\(knobs/([^)]+)\)", (DOCS / "knobs.md").read_text(encoding="utf-8")))
    files = {path.name for path in (DOCS / "knobs").iterdir()}
    assert used == files
    assert sum(path.stat().st_size for path in (DOCS / "knobs").iterdir()) < KNOB_BYTES
    source = (ROOT / "scripts" / "docs" / "knob_pictures.py").read_text(encoding="utf-8")
    assert files == {f"{name}.webp" for name in re.findall(r'^    "([\w-]+)": \(', source, re.M)}


def test_every_preset_is_described() -> None:
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)`", text, re.M)) >= set(list_recipes())
    assert "models" in Recipe.model_fields


def test_the_page_of_json_has_the_schemas_keys(labelled: Path) -> None:
    result = zeroguide.result.labeling.Labeling.load(labelled / "run" / "photo.jpg.json").to_dict()
    text = (DOCS / "json.md").read_text(encoding="utf-8")
    top, _, own = text.partition("Of each segment:")
    assert set(re.findall(r"^\| `(\w+)` ", own, re.M)) == {
        *result["segments"][0],
        "category",  # of runs with classes
        "original",  # of labels that were renamed
    }
    assert {f"image.{key}" for key in result["image"]} == set(re.findall(r"`(image\.\w+)`", top))
    assert set(result) == set(re.findall(r"^\| `(\w+)` ", top, re.M)) | {"image", "segments"}


# ---- the site


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for name in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} isn't installed: pip install 'zeroguide[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = list((tmp_path / "site").glob("*.html"))
    assert {page.stem for page in DOCS.glob("*.md")} <= {page.stem for page in pages}
    commands_page = (tmp_path / "site" / "commands.html").read_text(encoding="utf-8")
    assert "zeroguide models pull" in commands_page and "--offline" in commands_page
    for page in pages:  # nothing that a browser loads by itself comes from elsewhere
        html = page.read_text(encoding="utf-8")
        for tag in re.findall(r"<(?:script|img|link|iframe)\b[^>]*>", html):
            outside = re.search(r'(?:src|href)="(?:https?:)?//[^"]*"', tag)
            assert outside is None or 'rel="canonical"' in tag, f"{page.name}: {tag}"


def test_nothing_is_left_to_be_filled_in() -> None:
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "zeroguide/models/weights").rglob("*.md"),
    ]
    assert not [page.name for page in pages if "@@" in page.read_text(encoding="utf-8")]
