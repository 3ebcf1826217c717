"""Which sense of WordNet each phrase of labels.txt means, and all hypernyms of those senses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from scripts.labels.wordnet_nouns import FOOD, OFFENSIVE, PERSON, PLANT, WordNet
from zeroguide.name.hypernyms import head_forms
from zeroguide.name.noun_forms import base_forms, squeezed

# How the gloss of flesh, fur and wood begins.
MADE_OF = re.compile(
    r"^\W*([\w-]+,? ){0,6}(flesh|meat|fur|pelt|leather|wood|hide|skin|wool|bark|seeds?|nut|root"
    r"|bulb) (of|made from|from)"
)
# Links of WordNet that would call a car a container: wheeled vehicle -> container.
WRONG = {("04576211", "03094503")}


class Senses:
    """Which sense of WordNet a phrase means."""

    def __init__(self, wordnet: WordNet, by_hand: Iterable[str]) -> None:
        """by_hand: see scripts/labels/senses.txt."""
        self.wordnet = wordnet
        self.chosen: dict[str, str] = {}
        self.kind_of: dict[str, str] = {}
        for line in by_hand:
            phrase, sign, above = re.split(r" ([=<]) ", line)
            if sign == "=":
                self.chosen[phrase.lower().replace(" ", "_")] = above
            else:
                self.kind_of[phrase] = above
        self._lemmas: dict[str, str] = {}
        for lemma in sorted(wordnet.senses, key=lambda word: ("_" in word, word)):
            self._lemmas.setdefault(squeezed(lemma), lemma)

    def lemma(self, phrase: str) -> str | None:
        """WordNet's word for exactly this phrase, whatever its spelling or number."""
        exact = phrase.lower().replace(" ", "_")
        if exact in self.wordnet.senses:
            return exact
        keys = (squeezed(form) for form in base_forms(phrase))
        return next((self._lemmas[key] for key in keys if key in self._lemmas), None)

    def of(self, phrase: str) -> str | None:
        """The offset of its sense: of those that can be seen, the commonest."""
        lemma = self.lemma(phrase)
        if lemma is None or phrase.lower() in self.kind_of:
            return None
        counts = self.wordnet.senses[lemma]
        own = [offset for offset in counts if self._is_usable(offset)]
        # Salmon is a fish before it is its flesh, a banana a fruit before it is a plant.
        own.sort(key=self._is_made_of_it)
        if lemma in self.chosen:
            return next((o for o in own if self.chosen[lemma] in self.wordnet.kinds(o)), None)
        files = [self.wordnet.synsets[offset].file for offset in own]
        if files[:1] == [PLANT] and FOOD in files:
            food = own[files.index(FOOD)]
            if counts[food] >= counts[own[0]]:
                own.insert(0, food)
        seen = [o for o in own if o in self.wordnet.seen]
        solid = [o for o in own if "physical_entity" in self.wordnet.kinds(o)]
        if seen and solid and solid[0] != seen[0]:
            # A driver is a person, and a golf club only now and then.
            person = self.wordnet.synsets[solid[0]].file == PERSON
            return solid[0] if person and counts[solid[0]] > 3 * counts[seen[0]] else seen[0]
        return next(iter(seen or solid or own), None)

    def _is_usable(self, offset: str) -> bool:
        synset = self.wordnet.synsets[offset]
        return not synset.instance and not OFFENSIVE.search(synset.gloss)

    def _is_made_of_it(self, offset: str) -> bool:
        return bool(MADE_OF.search(self.wordnet.synsets[offset].gloss))

    def share(self, phrase: str) -> float:
        """How much of a word's use is a thing that can be seen, 0 to 1; 1 where nobody knows."""
        lemma = self.lemma(phrase)
        if lemma is None:
            return 1.0
        counts = self.wordnet.senses[lemma]
        picked = self.of(phrase)
        seen = sum(n for o, n in counts.items() if o in self.wordnet.seen or o == picked)
        others = sum(counts.values()) - seen + self.wordnet.tagged_otherwise[lemma]
        rank = list(counts).index(picked) if picked in counts else len(counts)
        return (seen + 1 / (1 + rank)) / (seen + others + 1)


class Nodes:
    """Senses and phrases with their hypernyms, to be written to hypernyms.tsv."""

    def __init__(self, senses: Senses, labels: list[str]) -> None:
        self.senses = senses
        self.above: dict[str, tuple[str, ...]] = {}
        self.labels: dict[str, list[str]] = defaultdict(list)
        for phrase in labels:
            self.labels[self._place(phrase)].append(phrase)

    def _place(self, phrase: str) -> str:
        """The id of a phrase's node, which is made if there is none, with all above it."""
        offset = self.senses.of(phrase)
        if offset is not None:
            self._add_sense(offset)
            return offset
        wider = self.senses.kind_of.get(phrase.lower())
        heads = map(self.senses.of, [wider] if wider else head_forms(phrase))
        head = next((offset for offset in heads if offset is not None), None)
        if head is not None:
            self._add_sense(head)
        own = phrase.replace(" ", "_")
        self.above[own] = () if head is None else (head,)
        return own

    def _add_sense(self, offset: str) -> None:
        if offset not in self.above:
            above = self.senses.wordnet.synsets[offset].above
            self.above[offset] = tuple(up for up in above if (offset, up) not in WRONG)
            for up in self.above[offset]:
                self._add_sense(up)

    def in_order(self) -> list[str]:
        """Ids, parents before children, else as WordNet and the alphabet have them."""
        done: dict[str, None] = {}

        def visit(node: str) -> None:
            for up in self.above[node]:
                if up not in done:
                    visit(up)
            done[node] = None

        for node in sorted(self.above):
            if node not in done:
                visit(node)
        return list(done)

    def n_below(self) -> dict[str, int]:
        """How many labels each node and what is under it have."""
        below: dict[str, set[str]] = {node: set(self.labels[node]) for node in self.above}
        for node in reversed(self.in_order()):
            for up in self.above[node]:
                below[up] |= below[node]
        return {node: len(phrases) for node, phrases in below.items()}

    def lines(self, spellings: dict[str, set[str]]) -> list[str]:
        """The lines of the file: see `zeroguide.name.hypernyms`."""
        taken = {phrase for own in self.labels.values() for phrase in own}
        lines = []
        for node in self.in_order():
            own = self.labels[node]
            further = {other for phrase in own for other in spellings[phrase]}
            synset = self.senses.wordnet.synsets.get(node)
            if synset:
                words = [word.replace("_", " ") for word in synset.words]
                further |= {word for word in words if self.senses.of(word) == node}
            names = sorted(further - taken, key=lambda name: (name.lower(), name))
            if synset and not own:  # WordNet's first word for it is what to call it
                names = list(dict.fromkeys([synset.words[0].replace("_", " "), *names]))
            lines.append(
                "\t".join((node, " ".join(self.above[node]), ",".join(own), ",".join(names)))
            )
        return lines
