"""`zeroguide web`."""

from __future__ import annotations

import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from zeroguide.cli import options
from zeroguide.cli.running import note_device
from zeroguide.errors import UsageError
from zeroguide.system.console import Console

if TYPE_CHECKING:
    from zeroguide.web.naming import Namer

Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0: for other machines, too.")
]
Port = Annotated[
    int | None, typer.Option(metavar="N", help="Default: the first free one from 7860.")
]
Run = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="A folder of `label`: its labels, to be renamed and joined."),
]
Queue = Annotated[int, typer.Option(metavar="N", help="Pictures that may wait for the models.")]


def web(
    preset: options.DefaultPreset = None,
    set_: options.Set = None,
    examples: options.Examples = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    queue: Queue = 16,
    run: Run = None,
    photos_at: options.PhotosAt = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Label pictures in the browser: see segments, rename and join them, download the result.

    With --run, the labels of a whole run are in a tab of their own; what is renamed there is
    changed in the run's files, as `zeroguide relabel` does. Needs zeroguide[web]. There is no
    login: who reaches the address may use the page.
    """
    console = Console(quiet=quiet, verbose=verbose)
    if queue < 1:
        raise UsageError(f"--queue {queue}: at least 1 is needed")
    if port is not None and not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: ports are 1 to 65535")
    if find_spec("gradio") is None:
        raise UsageError("the page needs Gradio: pip install 'zeroguide[web]'")
    if photos_at is not None and run is None:
        raise UsageError(f"--photos-at {photos_at}: is for the photos of a run; name it with --run")
    recipe = options.read_recipe(
        preset, set_ or [], seed, device, examples=examples, offline=offline
    )
    taxonomy = None
    if run is not None:
        from zeroguide.web.taxonomy import Taxonomy

        taxonomy = Taxonomy(run, photos_at)
    console.note(recipe.introduction)
    from zeroguide.models import prepare

    prepare(recipe.checkpoints(), offline=offline)
    from zeroguide.web.examples import find_examples
    from zeroguide.web.server import serve

    def load() -> Namer:
        from zeroguide.labeler import Labeler  # torch: while the page is there already
        from zeroguide.web.naming import Namer

        labeler = Labeler(recipe, device=device, offline=offline)
        note_device(console, device, labeler.device)
        return Namer(labeler)

    signal.signal(signal.SIGTERM, _interrupt)  # what was uploaded is deleted then, too
    server = serve(
        load,
        about=recipe.introduction.replace("preset", "Preset", 1),
        examples=find_examples(recipe),
        host=host,
        port=port,
        queue=queue,
        value_range=recipe.image.value_range,
        taxonomy=taxonomy,
    )
    try:
        print(server.url, flush=True)
        console.note("press Ctrl+C to stop")
        with suppress(KeyboardInterrupt):  # Ctrl+C and SIGTERM are how it is ended
            server.wait()
    finally:
        server.close()
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
