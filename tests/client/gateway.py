"""What may stand between a client and its tenant."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PAGE = b"<html><body>Request-URI Too Large</body></html>"
PASSED_ON = ("Authorization", "Content-Type", "Accept", "X-SailPoint-Experimental")


@dataclass
class Gateway:
    """
    A proxy on loopback that refuses long request lines.

    :param longest: bytes of the longest request line that it lets through
    :param status: what it answers to longer ones
    """

    url: str
    longest: int
    status: int
    lines: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)

    @property
    def refused(self) -> list[str]:
        return [line for line in self.lines if len(line) > self.longest]

    @property
    def passed(self) -> list[str]:
        return [line for line in self.lines if len(line) <= self.longest and "/oauth/" not in line]


@contextmanager
def gateway(tenant: str, *, longest: int, status: int) -> Iterator[Gateway]:
    """Stand before a tenant, whose URL is given."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            seen.lines.append(self.requestline)
            seen.authorizations.append(self.headers.get("Authorization"))
            if len(self.requestline) > seen.longest:
                self.reply(seen.status, "text/html", PAGE)
                return
            connection = http.client.HTTPConnection(urlsplit(tenant).netloc)
            headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self.reply(answer.status, "application/json", answer.read())
            connection.close()

        do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the names that http.server looks for

        def reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen = Gateway(f"http://127.0.0.1:{server.server_port}", longest, status)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
