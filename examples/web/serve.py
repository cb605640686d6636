"""Serve this folder on this computer: python examples/web/serve.py [PORT].

With the headers that a browser wants before it gives a page more than one thread.
"""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

HERE = Path(__file__).resolve().parent
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",  # a browser asks whether its copy is the newest
}


class Handler(SimpleHTTPRequestHandler):
    """Sends files of a folder with `HEADERS`."""

    protocol_version = "HTTP/1.1"  # one connection for several files
    extensions_map: ClassVar[dict[str, str]] = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }

    def end_headers(self) -> None:
        """Add the headers to those of the answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base)
        """Keep the terminal quiet."""


def server(port: int = 0, folder: Path = HERE) -> ThreadingHTTPServer:
    """Return a server of a folder for programs on this computer; port 0 is any free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))


def main() -> None:
    """Serve until Ctrl+C."""
    with server(int(sys.argv[1]) if len(sys.argv) > 1 else 8000) as serving:
        print(f"open http://localhost:{serving.server_port} in a browser; Ctrl+C ends this")
        with contextlib.suppress(KeyboardInterrupt):
            serving.serve_forever()


if __name__ == "__main__":
    main()
