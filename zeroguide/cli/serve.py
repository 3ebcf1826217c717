"""`zeroguide serve`."""

from __future__ import annotations

import os
import re
import secrets
import signal
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from zeroguide.cli import options
from zeroguide.cli.running import load_labeler
from zeroguide.errors import UsageError
from zeroguide.system.console import Console

if TYPE_CHECKING:
    from zeroguide.recipe import Recipe

NEEDED = ("fastapi", "fastapi_offline", "python_multipart", "uvicorn")
TOKEN = "ZEROGUIDE_TOKEN"

Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Where to listen; 0.0.0.0: for other machines, too, with a token."
    ),
]
Port = Annotated[int, typer.Option(metavar="N", help="0: any that is free.")]
Queue = Annotated[
    int, typer.Option(metavar="N", help="Requests that are worked on or wait, at most.")
]


def serve(
    preset: options.DefaultPreset = None,
    set_: options.Set = None,
    examples: options.Examples = None,
    classes: options.Classes = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    queue: Queue = 16,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Label pictures and name masks for other programs, over HTTP.

    Needs zeroguide[serve]. Prints its address when it answers; /docs there describes the API. Other
    machines need a token: the environment's ZEROGUIDE_TOKEN, or the one that is printed, as a
    header. With --verbose, a line for each request.
    """
    console = Console(quiet=quiet, verbose=verbose)
    if queue < 1:
        raise UsageError(f"--queue {queue}: at least 1 is needed")
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: ports are 0 to 65535")
    given = _given_token()
    if any(find_spec(name) is None for name in NEEDED):
        raise UsageError("the service needs more libraries: pip install 'zeroguide[serve]'")
    recipe = options.read_recipe(
        preset, set_ or [], seed, device, examples=examples, classes=classes, offline=offline
    )
    signal.signal(signal.SIGTERM, _interrupt)
    with suppress(KeyboardInterrupt):  # Ctrl+C and SIGTERM are how it is ended
        _serve(recipe, console, device, host, port, queue, given, offline=offline)
    return 0


def _serve(
    recipe: Recipe,
    console: Console,
    device: str,
    host: str,
    port: int,
    queue: int,
    given: str | None,
    *,
    offline: bool,
) -> None:
    from zeroguide.serve.server import bind, is_loopback, serve, url_of

    with bind(host, port) as sock:  # before the models, which take long
        is_made = given is None and not is_loopback(sock)
        token = secrets.token_urlsafe(24) if is_made else given
        with console.progress():
            labeler = load_labeler(recipe, console, device, offline=offline)

        def started() -> None:
            print(url_of(sock), flush=True)
            if is_made:
                print(f"Authorization: Bearer {token}", flush=True)
            console.note("press Ctrl+C to stop")

        serve(
            labeler,
            sock,
            queue=queue,
            token=token,
            host=host,
            started=started,
            note=console.note,
            log=console.note if console.verbose else lambda line: None,
        )


def _given_token() -> str | None:
    """The environment's token. Raises UsageError for one that no header can bring."""
    token = os.environ.get(TOKEN)
    if token is not None and not re.fullmatch("[!-~]+", token):
        raise UsageError(
            f"{TOKEN}: a token is ASCII letters, digits and signs; set another, or unset it"
        )
    return token


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
