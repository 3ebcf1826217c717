"""Labels from a list: retrieved, made as specific as CLIP is sure of, and composed.

`retrieval` says how likely each phrase of the list is, `own` the same of names with examples,
`specificity` how far up the hypernyms one must go to be sure, `modifiers` what may stand before the
name. `decoder` puts them together.
"""

from zeroguide.name.phrases.decoder import PhrasesDecoder
from zeroguide.name.phrases.modifiers import Modifiers
from zeroguide.name.phrases.own import OwnNames
from zeroguide.name.phrases.retrieval import PhraseList

__all__ = ["Modifiers", "OwnNames", "PhraseList", "PhrasesDecoder"]
