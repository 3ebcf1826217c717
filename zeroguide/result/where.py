"""Which segments are meant, as a condition in words: ``label in ("dog", "cat") and share > .01``.

The condition is read by Python's own parser, and only what stands in this module is taken from it:
nothing of it is ever run.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from zeroguide.errors import UsageError, nearest
from zeroguide.result.segment import Segment

LONGEST = 20_000  # characters; Python's parser gives up on much longer ones


class Fields(NamedTuple):
    """What a condition can ask of a segment.

    label; category: the name of its class, "" without classes; probability: of the class, 0 to 1.
    image: the key of its image.
    confidence, and certainty, which is the same: 0 to 1. score: the decoder's. area: in pixels.
    share: of the image, 0 to 1. composed: see `Segment`.
    """

    label: str
    category: str
    image: str
    probability: float
    confidence: float
    certainty: float
    score: float
    area: int
    share: float
    composed: bool


# Others are numbers.
_TYPES: dict[str, type] = {"label": str, "category": str, "image": str, "composed": bool}
_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EXAMPLE = 'label in ("dog", "cat") and share > .01'
_WORDS: dict[type, str] = {str: "text", float: "a number", bool: "true or false"}

_Test = Callable[[Fields], Any]


class Where:
    """A condition on segments.

    `and`, `or`, `not`, brackets, == != < <= > >=, also in chains (.1 < share < .5), `in` a list of
    values, `in` a text that holds another ("dog" in label). Texts stand in quotes, upper and lower
    case differ.

    Raises UsageError, which points at the place and names what is known, for anything else.
    """

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.splitlines()).strip()
        if len(text) > LONGEST:
            raise UsageError(f"--where: has {len(text)} characters; at most {LONGEST} are read")
        try:
            self._test = self._condition(ast.parse(self.text, mode="eval").body)
        except SyntaxError as error:
            at = min(max(error.offset or 1, 1) - 1, len(self.text))
            one_sign = re.search(r"(?<![=!<>])=(?!=)", self.text)
            remedy = "use == for is equal" if one_sign else f"write for example {_EXAMPLE}"
            raise self._wrong("isn't a condition", at, remedy) from None
        except (RecursionError, MemoryError):
            raise UsageError("--where: has too many brackets within each other") from None
        except ValueError as error:  # a character 0, a number of thousands of digits
            raise UsageError(f"--where {_cut(text)!r}: isn't a condition ({error})") from None

    def fits(self, segment: Segment, image: str, pixels: int) -> bool:
        """Whether a segment is meant. image: its image's key; pixels: that image's number."""
        fields = Fields(
            label=segment.label,
            category=segment.category.name if segment.category is not None else "",
            image=image,
            probability=segment.category.probability if segment.category is not None else 0.0,
            confidence=segment.confidence,
            certainty=segment.confidence,
            score=segment.score,
            area=segment.area,
            share=segment.area / pixels,
            composed=segment.composed,
        )
        return bool(self._test(fields))

    def _read(self, node: ast.expr) -> tuple[_Test, type]:
        """What a part of the condition gives for a segment, and of which type."""
        if isinstance(node, ast.BoolOp):
            tests = [self._condition(value) for value in node.values]
            if isinstance(node.op, ast.And):
                return lambda of: all(test(of) for test in tests), bool
            return lambda of: any(test(of) for test in tests), bool
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            test = self._condition(node.operand)
            return lambda of: not test(of), bool
        if isinstance(node, ast.Compare):
            return self._comparison(node), bool
        if isinstance(node, ast.Name):
            if node.id not in Fields._fields:
                raise self._unknown(node)
            return operator.attrgetter(node.id), _TYPES.get(node.id, float)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            truth = node.value
            return lambda of: truth, bool
        value = self._value(node)
        return lambda of: value, float if isinstance(value, int | float) else str

    def _condition(self, node: ast.expr) -> _Test:
        test, kind = self._read(node)
        if kind is not bool:
            what = f"is {_WORDS[kind]}, not a condition"
            raise self._wrong(what, node, "compare it with something")
        return test

    def _comparison(self, node: ast.Compare) -> _Test:
        terms = [node.left, *node.comparators]
        tests = [
            self._pair(left, sign, right)
            for left, sign, right in zip(terms, node.ops, terms[1:], strict=False)
        ]
        return lambda of: all(test(of) for test in tests)

    def _pair(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> _Test:
        one, kind = self._read(left)
        if isinstance(sign, ast.In | ast.NotIn):
            holds = self._membership(one, kind, left, right)
            return holds if isinstance(sign, ast.In) else lambda of: not holds(of)
        other, other_kind = self._read(right)
        if kind is not other_kind:
            raise self._wrong(
                f"compares {_WORDS[kind]} with {_WORDS[other_kind]}",
                right,
                "texts stand in quotes, numbers don't",
            )
        compare = _COMPARISONS.get(type(sign))
        if compare is None or (kind is bool and not isinstance(sign, ast.Eq | ast.NotEq)):
            raise self._wrong("isn't a comparison here", right, "use == != < <= > >= in")
        return lambda of: compare(one(of), other(of))

    def _membership(self, one: _Test, kind: type, left: ast.expr, right: ast.expr) -> _Test:
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            values = [self._value(element) for element in right.elts]
        elif isinstance(left, ast.Name) and isinstance(right, ast.Constant):
            values = [self._value(right)]  # ("dog"), which Python takes for a text, not a list
        else:
            whole, whole_kind = self._read(right)
            if kind is not str or whole_kind is not str:
                raise self._wrong("has no list after in", right, 'write label in ("dog", "cat")')
            return lambda of: one(of) in whole(of)
        for value, element in zip(values, getattr(right, "elts", [right]), strict=True):
            if kind is not (str if isinstance(value, str) else float):
                raise self._wrong(
                    f"compares {_WORDS[kind]} with {value!r}",
                    element,
                    "texts stand in quotes, numbers don't",
                )
        known = frozenset(values)
        return lambda of: one(of) in known

    def _value(self, node: ast.expr) -> str | float:
        """A text or a number that stands there."""
        sign = 1
        inner = node
        if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.USub):
            sign, inner = -1, inner.operand
        value = inner.value if isinstance(inner, ast.Constant) else None
        if isinstance(value, str) and sign == 1:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return sign * value
        if isinstance(node, ast.Name):
            raise self._unknown(node)
        raise self._wrong("can't stand here", node, f"known: {', '.join(Fields._fields)}")

    def _unknown(self, node: ast.Name) -> UsageError:
        if node.id in Fields._fields:
            return self._wrong(f"{node.id} can't stand in a list", node, "texts stand in quotes")
        remedy = f"{nearest(node.id, Fields._fields)}; texts stand in quotes"
        return self._wrong(f"{node.id!r} isn't known", node, remedy)

    def _wrong(self, what: str, place: ast.expr | int, remedy: str) -> UsageError:
        """place: a part of the condition, or a character, from 0."""
        if isinstance(place, ast.expr):  # which counts bytes
            place = len(self.text.encode()[: place.col_offset].decode())
        at = f"at its character {place + 1}" if self.text[place:] else "at its end"
        rest = f" ({_cut(self.text[place:], 30)})" if self.text[place:] else ""
        return UsageError(f"--where {_cut(self.text)!r}: {what}, {at}{rest}; {remedy}")


def _cut(text: str, most: int = 100) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
