"""What Label Studio connects to as a model: the protocol of its ML backends, over HTTP.

    python -m zeroguide.integrations.label_studio_server --preset photo --port 9090

The package that usually speaks it, label-studio-ml, is on PyPI only in a version of 2023, which
asks for a Flask of 2020 beside it; the protocol is a handful of paths. Requests are answered one
after the other: there is one model.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from zeroguide.errors import UsageError, ZeroguideError, require
from zeroguide.integrations.label_studio import Predictor, read_interface
from zeroguide.integrations.loading import load_labeler

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler

MOST = 64 << 20  # bytes of a request: tasks may hold their images


class Protocol:
    """Answers requests by path.

    name: the model's version, as Label Studio shows it.
    """

    def __init__(self, predictor: Predictor, name: str) -> None:
        self.predictor = predictor
        self.name = name
        self._access: dict[str, tuple[str, str]] = {}  # a project's address and key
        self._one = threading.Lock()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """The status and JSON of the answer. Raises ZeroguideError for what can't be done."""
        match method, path:
            case "GET", "" | "/health":
                return 200, {"status": "UP", "model_class": "zeroguide"}
            case "POST", "/setup":
                read_interface(str(body.get("schema", "")))
                access = str(body.get("hostname") or ""), str(body.get("access_token") or "")
                self._access[str(body.get("project"))] = access
                return 200, {"model_version": self.name}
            case "POST", "/predict":
                access = self._access.get(str(body.get("project")), ("", ""))
                tasks = body.get("tasks") or []
                if not isinstance(tasks, list) or not all(isinstance(t, dict) for t in tasks):
                    raise UsageError("the tasks are no list of objects")
                with self._one:
                    found = self.predictor.predict(
                        tasks, str(body.get("label_config", "")), *access
                    )
                return 200, {"results": found, "model_version": self.name}
            case (("GET" | "POST"), "/versions"):
                return 200, {"versions": [self.name]}
            case "POST", "/train" | "/webhook":
                return 201, {}  # nothing is learnt from annotations
        return 404, {"detail": f"there is no {method} {path}"}


def make_server(protocol: Protocol, host: str, port: int) -> ThreadingHTTPServer:
    """A server that listens, to be run by `serve_forever`. UsageError if the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            try:
                status, found = protocol.answer(self.command, self._path(), self._body())
            except ZeroguideError as error:
                status, found = 400, {"detail": str(error)}
            raw = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = _do

        def _path(self) -> str:
            return self.path.partition("?")[0].rstrip("/")

        def _body(self) -> dict[str, Any]:
            said = self.headers.get("Content-Length") or "0"
            if not said.isdecimal():
                raise UsageError(f"the Content-Length {said!r} is no number")
            length = int(said)
            if length > MOST:
                raise UsageError(f"a request of {length} bytes is larger than {MOST}")
            try:
                body = json.loads(self.rfile.read(length) or b"{}")
            except ValueError as error:
                raise UsageError(f"the request is no JSON ({error})") from None
            if not isinstance(body, dict):
                raise UsageError("the request is no JSON object")
            return body

    try:
        return ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise UsageError(f"{host}:{port} can't be listened on ({error.strerror})") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is interrupted; returns an exit code as the command line does."""
    parser = argparse.ArgumentParser(
        prog="python -m zeroguide.integrations.label_studio_server",
        description="A model for Label Studio that cuts pictures and names the segments.",
    )
    parser.add_argument("--preset", help="recipe or recipe file; default: fast, or photo offline")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9090)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--offline", action="store_true", help="never ask the hub")
    given = parser.parse_args(arguments)
    try:
        # Label Studio waits three seconds for the answer to its setup: too few to import this then.
        require("label_studio_sdk.label_interface", "label-studio", "predictions")

        def load(labels: Sequence[str] | None) -> Labeler:
            return load_labeler(
                given.preset, labels=labels, device=given.device, offline=given.offline
            )

        predictor = Predictor(load, lambda sentence: print(sentence, file=sys.stderr))
        # Free text now: a mistake in the arguments is told before Label Studio asks.
        name = f"zeroguide {predictor.labeler(None).recipe.name}"
        with make_server(Protocol(predictor, name), given.host, given.port) as server:
            address = f"http://{given.host}:{server.server_port}"
            print(f"Label Studio's model is at {address}", flush=True)
            server.serve_forever()
    except ZeroguideError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
