"""What a folder holds already, and whether a run may go on there.

Recipes are never mixed, and no photo gets a second result under another key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from zeroguide.errors import ImageError, UsageError, ZeroguideError
from zeroguide.result import Labeling
from zeroguide.result.provenance import differences
from zeroguide.runs.layout import PARTS, first_result, part_files, result_path
from zeroguide.runs.run_folder import Manifest
from zeroguide.runs.sources.item import Item
from zeroguide.runs.sources.keys import Root

Confirm = Callable[[str], bool]
Engine = Literal["local", "ray"]

MOST_CHANGES = 4  # that a question names: another preset differs in a dozen


def check_engine(folder: Path, engine: Engine) -> None:
    """Raises UsageError for a folder with results of the other engine: they don't mix."""
    has_parts = bool(part_files(folder))
    if engine == "local" and has_parts:
        raise UsageError(
            f"{folder}: holds results of a cluster ({PARTS}/); go on with --engine ray or choose "
            "another folder with -o"
        )
    if engine == "ray" and not has_parts:
        if first_result(folder) is None:
            return
        raise UsageError(
            f"{folder}: holds results of one machine, a JSON file an image; go on with --engine "
            "local or choose another folder with -o"
        )


def open_manifest(
    known: Manifest | None,
    output: Path,
    recipe: dict[str, Any],
    roots: list[Path],
    *,
    overwrite: bool,
    confirm: Confirm | None,
    note: Callable[[str], None],
) -> Manifest:
    """Write run.json of a run that begins; `replacing` if other recipes' results may be replaced.

    Args:
        known: what run.json says, if it is there.
        output: the run's folder, which nobody else uses now but other shards of the run.
        recipe: the run's `provenance`.
        roots: see `Manifest`.
        overwrite: replace all results.
        confirm: answers whether results of another recipe are to be replaced; None if nobody can
            be asked.

    Raises UsageError if they aren't.
    """
    before = known.recipe if known is not None else _recipe_of_a_result(output)
    replacing = overwrite or (known is not None and known.replacing)
    changes = differences(before, recipe) if before is not None else []
    if changes and not overwrite:
        named = changes[:MOST_CHANGES]
        if len(changes) > len(named):
            named.append(f"and {len(changes) - len(named)} more")
        problem = f"{output}: holds results of another recipe ({'; '.join(named)})"
        if confirm is None:
            raise UsageError(
                f"{problem}; replace them with --overwrite or choose another folder with -o"
            )
        if not confirm(f"{problem}. Replace them?"):
            raise UsageError(f"{problem}: nothing was changed; choose another folder with -o")
        replacing = True
    elif before is not None and not overwrite and _libraries(before) != _libraries(recipe):
        note(f"{output}: its results are kept, though by other library versions")
    manifest = known or Manifest(recipe)
    merged = list(dict.fromkeys([*manifest.roots, *map(str, roots)]))
    manifest = replace(manifest, recipe=recipe, roots=merged, replacing=replacing)
    manifest.write(output)
    return manifest


def once(
    items: Iterable[Item], output: Path, manifest: Manifest, roots: Iterable[Path]
) -> Iterator[Item]:
    """The items; UsageError for one that the folder knows under another key.

    Keys depend on what was named on the command line: `photos/` makes x.jpg what `photos/ more/`
    makes photos/x.jpg. Only results that are files of their own are seen.

    roots: of this run; those that the manifest has besides are of earlier ones.
    """
    others = [Root(folder) for folder in set(manifest.roots) - set(map(str, roots))]
    for item in items:
        for key in _other_keys(item, others) if others else ():
            if _holds(output, key, item):
                raise UsageError(
                    f"{output}: holds {item.name} already, as {key}, from a run that named other "
                    "inputs; name those again, or choose another folder with -o"
                )
        yield item


def _other_keys(item: Item, roots: Iterable[Root]) -> set[str]:
    """Under which this photo was labelled, if it was labelled by earlier runs."""
    path = item.path
    if path is None:
        return set()
    return {root.key(str(path)) for root in roots if path.is_relative_to(root.folder)} - {item.key}


def _holds(output: Path, key: str, item: Item) -> bool:
    """Whether the result of a key is that of this item: another root has keys of its own."""
    path = result_path(output, key)
    try:
        return (
            path.is_file() and Labeling.load(path).sha256 == hashlib.sha256(item.read()).hexdigest()
        )
    except (ImageError, ZeroguideError):  # said elsewhere, when it is its turn
        return False


def _recipe_of_a_result(output: Path) -> dict[str, Any] | None:
    """The recipe of some result in a folder without manifest; None if there is none."""
    path = first_result(output)
    if path is None:
        return None
    try:
        return Labeling.load(path).recipe
    except ZeroguideError:  # damaged: it will be made again
        return None


def _libraries(recipe: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in recipe.get("versions", {}).items() if name != "zeroguide"}
