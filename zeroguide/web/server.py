"""The page behind an address: temporary files, limits, no calls to anybody."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.errors import UsageError
from zeroguide.web.loading import LazyNamer
from zeroguide.web.sessions import Sessions
from zeroguide.web.uploads import MAX_BYTES
from zeroguide.web.work import Work

if TYPE_CHECKING:
    from zeroguide.web.examples import Example
    from zeroguide.web.naming import Namer
    from zeroguide.web.taxonomy import Taxonomy

SWEEP = 60.0  # seconds between two looks for what is to be forgotten
KEPT = 600.0  # seconds that an upload may lie unread: nobody asked for its labels

_FOLDER = "GRADIO_TEMP_DIR"  # Gradio looks it up at every upload: one page a process


@dataclass
class Server:
    """A running page.

    url: its address. folder: uploads, until they are read. namer: its models.
    """

    url: str
    folder: Path
    namer: LazyNamer
    sessions: Sessions
    _page: Any
    _stopped: threading.Event

    def wait(self) -> None:
        """Until it is interrupted. Raises what loading the models raised."""
        while not self.namer.wait(0.2):
            pass
        if self.namer.error is not None:
            raise self.namer.error
        self._stopped.wait()

    def close(self) -> None:
        """Stop, and delete what was uploaded."""
        self._stopped.set()
        with suppress(Exception):  # nobody is left to hear of it
            self._page.close(verbose=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def serve(
    load: Callable[[], Namer],
    *,
    about: str,
    examples: Sequence[Example] = (),
    host: str = "127.0.0.1",
    port: int | None = None,
    queue: int = 16,
    value_range: tuple[float, float] | None = None,
    taxonomy: Taxonomy | None = None,
) -> Server:
    """Start the page; it answers when this returns, the models follow.

    Args:
        load: makes the namer, in a thread of its own.
        about: the preset and what its models know, a sentence without its full stop.
        examples: pictures to try.
        host: address to listen at.
        port: None for the first free one from 7860.
        queue: pictures that may wait.
        value_range: see `zeroguide.image.opening.open_image`.
        taxonomy: a run's labels, for a tab of their own.

    Needs Gradio. Raises UsageError if the address can't be had.
    """
    folder = Path(tempfile.mkdtemp(prefix="zeroguide-web-"))
    before = os.environ.get(_FOLDER)
    os.environ[_FOLDER] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    namer, sessions = LazyNamer(load), Sessions()
    try:
        import gradio as gr  # it reads the environment
        from starlette.middleware import Middleware

        from zeroguide.web.guard import Guard
        from zeroguide.web.page import VIEWER, make_page

        work = Work(namer, sessions, value_range)
        page = make_page(work, about=about, examples=examples, queue=queue, taxonomy=taxonomy)
        guard = Middleware(Guard, uploads=folder, max_upload=MAX_BYTES)
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=["api"],
            allowed_paths=[],
            max_file_size=MAX_BYTES,
            state_session_capacity=64,
            i18n=gr.I18n(en={"common.complete": "Done"}),  # said to screen readers, missing there
            app_kwargs={"middleware": [guard]},
            css=(VIEWER / "viewer.css").read_text("utf-8"),
            theme=gr.themes.Default(
                font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
            ),
        )
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop(_FOLDER)
        if before is not None:  # of a page that runs already
            os.environ[_FOLDER] = before
        if isinstance(error, OSError):
            raise UsageError(
                f"{host}, port {port or 'from 7860'}: can't be listened at ({error}); choose "
                "others with --host and --port"
            ) from error
        raise
    namer.start()
    stopped = threading.Event()
    threading.Thread(
        target=_sweep, args=(folder, sessions, stopped), name="sweep", daemon=True
    ).start()
    return Server(url.rstrip("/"), folder, namer, sessions, page, stopped)


def _sweep(folder: Path, sessions: Sessions, stopped: threading.Event) -> None:
    while not stopped.wait(SWEEP):
        sessions.forget_idle()
        delete_older(folder, time.time() - KEPT)


def delete_older(folder: Path, moment: float) -> None:
    """Delete files last changed before a moment (seconds since 1970), and empty folders."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with suppress(OSError):  # somebody else was faster, or the folder isn't empty
            if path.stat().st_mtime < moment:
                path.rmdir() if path.is_dir() else path.unlink()
