"""The decoder "phrases": priors, hedging up the hypernyms, modifiers; and with real networks."""

import math

import hub_folders
import pytest
import torch
import torch.nn.functional as F
from conftest import REPOSITORY

from scripts.shared.stand_ins import text_side
from zeroguide.clip import TextEncoder
from zeroguide.models import LoadedModels, load_clip, load_language_model
from zeroguide.name.decoders import make_decoder
from zeroguide.name.name import Name
from zeroguide.name.noun_forms import plural
from zeroguide.name.phrase_files import list_names, read_prompts
from zeroguide.name.phrases import Modifiers, PhraseList, PhrasesDecoder
from zeroguide.name.phrases.specificity import Specificity
from zeroguide.recipe import load_recipe

LIST = ["beagle", "basset", "dog", "cat", "couch", "sofa", "animal", "rusty brick wall", "wall"]
UNIFORM = torch.full((len(LIST),), -math.log(len(LIST)))


def choose(certainty=0.5, phrases=LIST, n=2, **probabilities):
    """The choice for one segment with these probabilities."""
    row = torch.zeros(len(phrases))
    for phrase, probability in probabilities.items():
        row[phrases.index(phrase.replace("_", " "))] = probability
    prior = torch.full((len(phrases),), -math.log(len(phrases)))
    choice = Specificity(phrases, prior, certainty=certainty)(row[None] / row.sum(), n)[0]
    names = [phrases[i] for i in (choice.phrase, *choice.finer)]
    return names, choice.certainty


def test_a_sure_name_is_said():
    assert choose(beagle=0.8, cat=0.2) == (["beagle"], pytest.approx(0.8))


def test_kinds_of_one_thing_add_up_to_it_and_become_its_finer_names():
    names, certainty = choose(beagle=0.4, basset=0.35, cat=0.25)
    assert names == ["dog", "beagle", "basset"]
    assert certainty == pytest.approx(0.75)


def test_what_only_a_wide_name_covers_gets_it():
    names, certainty = choose(certainty=0.8, beagle=0.4, basset=0.1, cat=0.4, couch=0.1)
    assert names[0] == "animal"
    assert certainty == pytest.approx(0.9)


def test_synonyms_count_together_and_the_likelier_one_is_said():
    names, certainty = choose(couch=0.3, sofa=0.4, cat=0.3)
    assert names == ["sofa"]
    assert certainty == pytest.approx(0.7)


def test_a_phrase_that_wordnet_lacks_lies_below_its_head_noun():
    names, certainty = choose(rusty_brick_wall=0.45, wall=0.15, cat=0.4)
    assert names == ["wall", "rusty brick wall"]
    assert certainty == pytest.approx(0.6)


def test_where_nothing_is_certain_the_surest_name_is_said():
    names, certainty = choose(certainty=0.9, beagle=0.3, basset=0.15, couch=0.28, wall=0.27)
    assert names[0] == "dog"
    assert certainty == pytest.approx(0.45)


def test_nothing_is_said_that_the_list_does_not_have():
    own = ["beagle", "basset", "gremlin 3000"]
    names, _ = choose(phrases=own, certainty=0.9, beagle=0.5, basset=0.45, gremlin_3000=0.05)
    assert names == ["beagle"]  # "dog" isn't in the list


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    hub_folders.clip_folder(folder)
    return TextEncoder(load_clip(str(folder), device="cpu"))


def phrase_list(texts, *, weight=0.5, ranks=range(9)):
    return PhraseList(texts, LIST, ["a {}"], ranks=list(ranks), frequency_weight=weight)


def test_the_posterior_is_clips_softmax_times_the_prior(texts):
    unit = F.normalize(torch.randn(3, 32, generator=torch.Generator().manual_seed(1)), dim=-1)
    likelihood = (
        texts.clip.network.logit_scale.exp() * unit @ phrase_list(texts).embeddings.T
    ).exp()
    weighted = likelihood / (torch.arange(len(LIST)) + 10) ** 0.7
    expected = weighted / weighted.sum(1, keepdim=True)
    torch.testing.assert_close(phrase_list(texts, weight=0.7).posterior(unit), expected)


def test_without_ranks_there_is_no_prior(texts):
    unit = F.normalize(torch.randn(2, 32), dim=-1)
    flat = phrase_list(texts, weight=2.0, ranks=[0] * len(LIST)).posterior(unit)
    torch.testing.assert_close(flat, phrase_list(texts, weight=0.0).posterior(unit))


def test_label_then_finer_names_then_others(texts):
    decode = PhrasesDecoder(
        phrase_list(texts), certainty=0.0, modifiers=None, n_alternatives=len(LIST)
    )
    embeddings = torch.randn(4, 32, generator=torch.Generator().manual_seed(2))
    cosines = F.normalize(embeddings, dim=-1) @ decode.list.embeddings.T
    for names, row in zip(decode(embeddings), cosines, strict=True):
        assert [name.score for name in names] == pytest.approx(
            [float(row[LIST.index(name.text)]) for name in names], abs=1e-6
        )
        said = [name.text for name in names]
        assert len(set(said)) == len(said)
        assert not any(name.composed for name in names)


def test_a_segment_alone_is_named_as_among_a_hundred(texts):
    decode = PhrasesDecoder(phrase_list(texts), certainty=0.5, modifiers=None, n_alternatives=3)
    embeddings = torch.randn(100, 32, generator=torch.Generator().manual_seed(3))
    alone = [decode(one[None])[0] for one in embeddings]
    together = decode(embeddings)
    assert [[n.text for n in own] for own in alone] == [[n.text for n in own] for own in together]


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("book", "books"), ("berry", "berries"), ("toy", "toys"), ("glass", "glasses"),
        ("bus", "buses"), ("box", "boxes"), ("wine glass", "wine glasses"), ("knife", "knives"),
        ("child", "children"), ("grapes", "grapes"), ("fisherman", "fishermen"),
    ],
)  # fmt: skip
def test_plural(one, several):
    assert plural(one) == several


def test_several_lists_are_joined_by_commas(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("dog\nflux capacitor\n")
    joined = read_prompts(f"everyday,{mine}")
    assert joined[:-1] == read_prompts("everyday")
    assert joined[-1] == "flux capacitor"


def test_a_file_with_a_comma_in_its_name_is_one_list(tmp_path):
    path = tmp_path / "cats, dogs.txt"
    path.write_text("cat\n")
    assert list_names(str(path)) == [str(path)]
    assert read_prompts(str(path)) == ["cat"]


def test_a_list_of_ones_own_has_no_prior_and_beside_ours_counts_as_common(texts, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("zyzzyva\nflux capacitor\n")
    own = [f"decoder.vocabulary={mine}", f"decoder.templates={template(tmp_path)}"]
    mine_only = load_recipe("fast", own)
    decode = make_decoder(mine_only, texts, LoadedModels(None, texts.clip))
    assert decode.list.phrases == ("zyzzyva", "flux capacitor")
    assert decode.list.log_prior[0] == decode.list.log_prior[1]


def template(folder):
    path = folder / "template.txt"
    path.write_text("a {}\n")
    return path


# With real networks.

REAL = REPOSITORY / "out" / "real-weights"


@pytest.fixture(scope="module")
def minilm():
    if not (REAL / "all-minilm-l6-v2").is_dir():
        pytest.skip(f"no real weights in {REAL}: make real-weights")
    return TextEncoder(text_side())


THINGS = ["dog", "beagle", "basset", "cat", "table", "shirt", "tree", "book", "wall", "bowl", "man"]


@pytest.fixture(scope="module")
def composing(minilm):
    lm = load_language_model(str(REAL / "smollm2-135m-instruct"), device="cpu")
    lines = ["black", "brown", "red", "wooden", "brick", "striped", "stack of {s}", "bowl of {}"]
    modifiers = Modifiers(minilm, lm, lines, prompt="Image of a", lm_weight=0.5)
    phrases = PhraseList(
        minilm, THINGS, ["a photo of a {}."], ranks=[0] * len(THINGS), frequency_weight=0
    )
    return PhrasesDecoder(phrases, certainty=0.5, modifiers=modifiers, n_alternatives=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("this is a black dog", "black dog"),
        ("this is a wooden table", "wooden table"),
        ("look at the red shirt here", "red shirt"),
        ("one stack of books", "stack of books"),
        ("look at the tree here", "tree"),
        ("this is a cat", "cat"),
    ],
)
def test_a_modifier_is_said_where_it_is_seen_and_only_there(minilm, composing, seen, said):
    name, *alternatives = composing(minilm.embed([seen]))[0]
    assert name.text == said
    assert name.composed == (" " in said)
    if name.composed:
        plain = alternatives[0]
        assert plain == Name(plain.text, plain.score, name.certainty)
        assert name.score > plain.score


@pytest.mark.slow
def test_a_dear_language_model_composes_nothing(minilm, composing):
    modifiers = composing.modifiers
    unit = minilm.embed(["this is a black dog"])
    assert modifiers(unit, ["dog"])[0] is not None
    weight, modifiers.lm_weight = modifiers.lm_weight, 1e6
    try:
        assert modifiers(unit, ["dog"]) == [None]
    finally:
        modifiers.lm_weight = weight
