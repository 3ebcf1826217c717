"""The image's file: what it names is there, its commands parse, and its user has no rights.

Docker itself isn't asked: where tests run there is none.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib

import pytest
import typer
from conftest import REPOSITORY

from zeroguide.cli import app
from zeroguide.recipe import load_recipe

TEXT = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
STEPS = [
    step.split(maxsplit=1)
    for step in re.sub(r"\\\n\s*", " ", TEXT).splitlines()
    if step and not step.startswith("#")
]


def steps(name: str) -> list[str]:
    return [rest for instruction, rest in STEPS if instruction == name]


def test_it_knows_the_instructions() -> None:
    assert {name for name, _ in STEPS} == {"FROM", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}


def test_nothing_but_wheels_goes_in_and_no_network_is_asked() -> None:
    install = steps("RUN")[0]
    assert "--no-index" in install and "--find-links /wheelhouse" in install
    assert "source=wheelhouse,target=/wheelhouse" in install
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert ignored[1:3] == ["*", "!wheelhouse"]
    (extra,) = re.findall(r"zeroguide\[(\w+)\]", install)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]
    (minor,) = re.findall(r"^python:3\.(\d+)-slim$", steps("FROM")[0])
    assert int(minor) >= int(project["requires-python"].removeprefix(">=3."))


def test_its_command_parses_and_needs_no_hub() -> None:
    name, *arguments = json.loads(steps("CMD")[0])
    assert name == "zeroguide"
    command = typer.main.get_command(app)
    context = command.make_context(name, list(arguments))
    _, serve, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    given = serve.make_context("serve", rest, parent=context).params
    assert (given["host"], given["offline"]) == ("0.0.0.0", True)
    assert steps("EXPOSE") == [str(given["port"])]
    own = load_recipe(given["preset"]).checkpoints().values()
    assert all(checkpoint.startswith("shipped:") for checkpoint in own)


def test_the_user_has_no_rights() -> None:
    made = [run for run in steps("RUN") if "useradd" in run]
    (user,) = steps("USER")
    assert user != "root" and made[0].endswith(user)
    names = [name for name, _ in STEPS]
    assert names.index("USER") < names.index("CMD")


def test_the_health_check_asks_the_service() -> None:
    check = steps("HEALTHCHECK")[0]
    name, option, code = json.loads(check.partition(" CMD ")[2])
    assert (name, option) == ("python", "-c")
    ast.parse(code)
    assert f"http://127.0.0.1:{steps('EXPOSE')[0]}/health" in code


@pytest.mark.parametrize("page", ["Dockerfile", "docs/serve.md"])
def test_it_says_how_it_is_built(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert "pip wheel --wheel-dir wheelhouse '.[serve]'" in text
    assert "docker build --tag zeroguide ." in text
