"""Recipes: the presets are valid, overrides work, mistakes get one helpful sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zeroguide.errors import UsageError
from zeroguide.name.phrase_files import FOLDER as PROMPTS
from zeroguide.name.phrase_files import read_prompts
from zeroguide.recipe import list_recipes, load_recipe, recipe_keys
from zeroguide.recipe.loading import FOLDER


@pytest.mark.parametrize("name", list_recipes())
def test_presets_are_complete(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description.endswith(".") and len(recipe.knows) > 20
    assert len(read_prompts(recipe.decoder.vocabulary)) > 100
    assert all("{}" in template for template in read_prompts(recipe.decoder.templates))
    assert all("pickle" not in (v or "") for v in recipe.models.model_dump().values())


def test_the_default_preset_comes_first() -> None:
    assert list_recipes()[0] == "fast"
    assert sorted(list_recipes()) == sorted(path.stem for path in FOLDER.glob("*.toml"))


def test_the_paper_recipe_has_the_papers_parameters() -> None:
    paper = load_recipe("paper")
    assert paper.models.model_dump(exclude_none=True) == {
        "dino": "facebook/dino-vits8",
        "clip": "timm/vit_large_patch14_clip_336.openai",
        "language_model": "openai-community/gpt2-medium",
    }
    assert (paper.features.shorter_side, paper.features.facet, paper.features.layer) == (
        224,
        "key",
        -1,
    )
    assert paper.features.stride is not None and paper.features.stride < 8
    assert (paper.segmenter.method, paper.segmenter.n_segments) == ("agglomerative", 20)
    assert (paper.embedding.masked_blocks, paper.embedding.subtraction_sd) == (4, 5.0)
    assert paper.embedding.mode == "exact"
    decoder = paper.decoder
    assert (decoder.method, decoder.prompt) == ("zerocap", "Image of a")
    assert (decoder.beam_size, decoder.n_candidates, decoder.max_tokens) == (5, 512, 15)
    assert decoder.iterations == 5
    assert (paper.merge.threshold, paper.merge.embedding_weight) == (0.8, 0.5)


@pytest.mark.parametrize("name", ["fast", "base", "best"])
def test_photograph_presets_load_no_language_model_that_they_do_not_use(name: str) -> None:
    recipe = load_recipe(name)
    writes = {"language_model"} if recipe.decoder.compose else set()
    assert set(recipe.checkpoints()) == {"dino", "clip"} | writes
    assert recipe.embedding.mode == "pooled"
    plain = load_recipe(name, ["decoder.compose=false"])
    assert set(plain.checkpoints()) == {"dino", "clip"}
    assert re.search(r"\d GB to download", recipe.description)


def test_recipes_for_comparison_are_as_they_were() -> None:
    """LAION's and OpenAI's CLIPs, masked in their blocks, with names written by beam search."""
    for name, clip in (
        ("fast-laion", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"),
        ("base-openai", "timm/vit_large_patch14_clip_224.openai"),
        ("best-laion", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"),
    ):
        recipe = load_recipe(name)
        assert (recipe.models.clip, recipe.embedding.mode) == (clip, "packed")
        assert recipe.decoder.method == "beam" and "language_model" in recipe.checkpoints()
        others = load_recipe(name.partition("-")[0])
        assert (recipe.features, recipe.segmenter) == (others.features, others.segmenter)


def test_overrides() -> None:
    recipe = load_recipe(
        "fast",
        [
            "decoder.beam_size=8",
            "decoder.prompt=A photo of a",
            'decoder.vocabulary="my words.txt"',
            "features.stride = 7",
            "segmenter.pca=0.9",
            "segmenter.normalize=false",
            "refine.dilations=[1, 3]",
            "embedding.subtraction_sd=none",
            "models.clip=/weights/1234",
            "merge.threshold=1",
            "seed=7",
            "decoder.beam_size=9",
        ],
    )
    assert recipe.decoder.beam_size == 9  # the last one wins
    assert recipe.decoder.prompt == "A photo of a"
    assert recipe.decoder.vocabulary == "my words.txt"
    assert recipe.features.stride == 7
    assert (recipe.segmenter.pca, recipe.segmenter.normalize) == (0.9, False)
    assert recipe.refine.dilations == (1, 3)
    assert recipe.embedding.subtraction_sd is None
    assert recipe.models.clip == "/weights/1234"
    assert (recipe.merge.threshold, recipe.seed) == (1.0, 7)
    assert recipe.models.dino == load_recipe("fast").models.dino
    assert load_recipe("fast", ["decoder.prompt=7"]).decoder.prompt == "7"
    assert load_recipe("fast", ["decoder.prompt="]).decoder.prompt == ""


def test_a_recipe_introduces_itself() -> None:
    tiny = load_recipe("tiny")
    assert tiny.introduction.startswith("preset tiny: trained on rendered Playroom scenes")
    mine = tiny.model_copy(update={"name": "mine", "knows": ""})
    assert mine.introduction == f"preset mine: {tiny.description.rstrip('.')}"
    assert mine.model_copy(update={"description": ""}).introduction == "preset mine"


def test_a_recipe_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[models]\ndino = "a/b"\nclip = "c/d"\nlanguage_model = "e"\n')
    recipe = load_recipe(path, ["features.layer=-2"])
    assert (recipe.name, recipe.models.language_model, recipe.features.layer) == ("mine", "e", -2)
    path.write_text("[models]\ndino = 'a'")
    with pytest.raises(UsageError, match=r"the recipe has no models\.clip"):
        load_recipe(path)
    path.write_text("seed = 3")
    with pytest.raises(UsageError, match=r"mine\.toml has no \[models\]"):
        load_recipe(path)
    path.write_text("seed = ")
    with pytest.raises(UsageError, match=r"mine\.toml can't be read: Invalid value"):
        load_recipe(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"mine\.toml can't be read"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("fsat", None, "unknown preset 'fsat': did you mean 'fast'? Choices: fast, base, "),
        ("zzz", None, "unknown preset 'zzz': Choices: fast, "),
        ("nope.toml", None, "there is no recipe file nope.toml: give a file or a preset (fast, "),
        ("fast", "decoder.beam=8", "unknown key 'decoder.beam': did you mean 'decoder.beam_size'? "
         "Keys: decoder.method, decoder.vocabulary, "),
        ("fast", "beam_size=8", "unknown key 'beam_size': did you mean 'decoder.beam_size'? "),
        ("fast", "decoder=8", "unknown key 'decoder': "),
        ("fast", "zzz.zzz=8", "unknown key 'zzz.zzz': Keys: seed, precision, models.*, "),
        ("fast", "name=x", "unknown key 'name': "),
        ("fast", "decoder.beam_size", "override 'decoder.beam_size' must look like decoder.beam_"),
        ("fast", "decoder.method=bem", "unknown decoder.method 'bem': did you mean 'beam'? "
         "Choices: phrases, vocabulary, beam, "),
        ("fast", "segmenter.method=kmean", "unknown segmenter.method 'kmean': did you mean "
         "'kmeans'? Choices: kmeans, agglomerative"),
        ("fast", "features.facet=keys", "unknown features.facet 'keys': did you mean 'key'? "),
        ("fast", "decoder.beam_size=0", "decoder.beam_size=0 is wrong: it must be greater than "),
        ("fast", "decoder.beam_size=many", "decoder.beam_size='many' is wrong: it must be a v"),
        ("fast", "decoder.beam_size=1.5", "decoder.beam_size=1.5 is wrong: it must be a valid int"),
        ("fast", "decoder.beam_size=true", "decoder.beam_size=True is wrong: it must be a valid i"),
        ("fast", "segmenter.pca=x", "segmenter.pca='x' is wrong: it must be a valid number"),
        ("fast", "segmenter.normalize=1", "segmenter.normalize=1 is wrong: it must be a valid b"),
        ("fast", "refine.dilations=[]", "refine.dilations=[] is wrong: it must be a list with at "),
        ("fast", "refine.dilations=[0]", "refine.dilations=0 is wrong: it must be greater than "),
        ("fast", "merge.embedding_weight=1.5", "merge.embedding_weight=1.5 is wrong: it must be "),
        ("fast", "decoder.lm_weight=nan", "decoder.lm_weight=nan is wrong: it must be greater th"),
        ("fast", "seed=-1", "seed=-1 is wrong: it must be greater than or equal to 0"),
    ],
)  # fmt: skip
def test_mistakes(name: str, override: str | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(name, [override] if override else [])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_a_section_that_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('decoder = 3\n[models]\ndino = "a"\nclip = "b"\nlanguage_model = "c"\n')
    for overrides in ([], ["decoder.beam_size=3"]):
        with pytest.raises(UsageError, match="decoder"):
            load_recipe(path, overrides)


def test_segmenters_and_recipe_agree() -> None:
    segmenters = pytest.importorskip("zeroguide.segment.segmenters")
    features = np.random.default_rng(0).normal(size=(6, 8, 4)).astype(np.float32)
    for method in segmenters.SEGMENTERS:
        knobs = load_recipe("fast", [f"segmenter.method={method}"]).segmenter
        assert ("connected" in segmenters.arguments(knobs)) == (method == "agglomerative")
        result = segmenters.segment(features, **segmenters.arguments(knobs))
        assert result.label_map.shape == (6, 8)
        five = load_recipe("fast", [f"segmenter.method={method}", "segmenter.n_segments=5"])
        result = segmenters.segment(features, **segmenters.arguments(five.segmenter))
        assert result.label_map.max() < 5


def test_recipe_keys_are_all_settable() -> None:
    assert "decoder.beam_size" in recipe_keys() and "models.clip" in recipe_keys()
    assert not {"name", "description", "knows"} & set(recipe_keys())


def test_recipes_import_nothing_heavy() -> None:
    code = (
        "import sys; from zeroguide.recipe import load_recipe; load_recipe('fast');"
        "heavy = ('torch', 'numpy', 'transformers', 'huggingface_hub');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_prompt_lists(tmp_path: Path) -> None:
    assert PROMPTS is not None
    for path in PROMPTS.glob("*.txt"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
        assert len(lines) == len(set(lines)) and all(line == line.strip() for line in lines)
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeff# mine\r\ngolden retriever\r\n\r\n cat \r\ncat\r\n".encode())
    assert read_prompts(str(path)) == ["golden retriever", "cat"]
    path.write_text("# nothing")
    with pytest.raises(UsageError, match="is empty"):
        read_prompts(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        read_prompts(str(path))
    with pytest.raises(UsageError, match="'everday': did you mean 'everyday'"):
        read_prompts("everday")


def test_the_playrooms_names_are_the_renderers() -> None:
    names = pytest.importorskip("zeroguide.playroom.names")
    assert read_prompts("playroom") == list(names.NAMES)


def test_a_decoder_without_its_model_is_refused() -> None:
    with pytest.raises(UsageError, match=r"decoder vlm needs models\.vlm: a folder or a hub id"):
        load_recipe("fast", ["decoder.method=vlm"])
    recipe = load_recipe("fast", ["decoder.method=vlm", "models.vlm=owner/model"])
    assert set(recipe.checkpoints()) == {"dino", "clip", "vlm"}
    beam = load_recipe("fast", ["decoder.method=beam"])
    assert set(beam.checkpoints()) == {"dino", "clip", "language_model"}
    assert set(load_recipe("fast").checkpoints(labels=False)) == {"dino"}
