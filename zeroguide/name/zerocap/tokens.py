"""What a language model's tokens stand for: prompt, end, texts, and those no label needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zeroguide.models import LanguageModel
from zeroguide.name.phrase_files import read_prompts

_JOINTS = ("-", "'", "’")


class Tokens:
    """A language model's vocabulary, as ZeroCap sees it.

    prompt: ids of the prompt after the token that begins a text (or separates texts). That token
    is written out, and the tokenizer decides what its text becomes: itself, or plain letters where
    special tokens are split, as in the published runs. end: the id of the full stop after a word.
    """

    def __init__(self, language_model: LanguageModel, prompt: str) -> None:
        self._tokenizer = language_model.tokenizer
        self._begin: str = self._tokenizer.bos_token or self._tokenizer.eos_token or ""
        self.prompt = self._ids(self._begin + prompt)
        self.end = self._ids("a.")[-1]
        self.size: int = language_model.network.config.get_text_config().vocab_size
        self._pieces: dict[int, str] = {}
        self._known = len(self._tokenizer)

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids, without what marks its beginning."""
        return self._decode(ids).replace(self._begin, "") if self._begin else self._decode(ids)

    def written(self, ids: Sequence[int]) -> str:
        """What ids add to the prompt, a space in front included."""
        # Some tokenizers drop a text's first space, so that ids aren't decoded alone.
        before = self.prompt[-1:]
        return self._decode([*before, *ids])[len(self._decode(before)) :]

    def piece(self, token: int) -> str:
        """What a token adds to a text, its space included."""
        if token not in self._pieces:
            self._pieces[token] = self.written([token]) if token < self._known else ""
        return self._pieces[token]

    def forbidden(self) -> torch.Tensor:
        """Ids of the tokens that can neither begin nor continue a noun phrase: (m,) int64.

        All but letters, hyphens and apostrophes: numbers, punctuation, line breaks, halves of
        characters, special tokens, rows that only pad the matrix. And the words of
        ``prompts/phrase_ends.txt``. The full stop stays, for it ends the text.
        """
        words = set(read_prompts("phrase_ends"))
        pieces = [self.piece(token) for token in range(self.size)]
        special = set(self._tokenizer.all_special_ids)
        return torch.tensor(
            [
                token
                for token, piece in enumerate(pieces)
                if token != self.end
                and (
                    token in special
                    or not _within_word(piece)
                    or (piece[:1] == " " and piece[1:].lower() in words)
                )
            ],
            dtype=torch.int64,
        )

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)


def _within_word(piece: str) -> bool:
    if piece in _JOINTS:
        return True
    word = piece.removeprefix(" ")
    return any(c.isalpha() for c in word) and all(c.isalpha() or c in _JOINTS for c in word)
