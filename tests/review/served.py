"""A review page that is served in this process, for tests."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from animalclef.data.review_log import ReviewLog
from animalclef.review.server import bind, review_app
from animalclef.review.session import ReviewSession
from animalclef.store.finished_run import load_run

__all__ = ["Served", "served"]

TOKEN = "secret-token"


@dataclass
class Served:
    """A page, the session behind it, and a client for it."""

    session: ReviewSession
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}/"

    def ask(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None, *, method: str = ""
    ) -> tuple[int, Any]:
        """Return status and content of a request as the page would send it, with other headers where given."""
        own = (
            {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/json"} if body is not None else {}
        )
        sent = {name: value for name, value in (own | (headers or {})).items() if value}
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        text = body if isinstance(body, str | bytes) or body is None else json.dumps(body)
        client.request(method or ("GET" if body is None else "POST"), path, text, sent)
        reply = client.getresponse()
        content = reply.read()
        self.headers = dict(reply.getheaders())
        is_json = self.headers.get("content-type") == "application/json"
        return reply.status, json.loads(content) if is_json else content

    def page(self, path: str, body: Any = None) -> Any:
        """Return the JSON of a path below the token."""
        status, content = self.ask(f"/{TOKEN}/{path}", body)
        assert status == 200, content
        return content


@contextmanager
def served(run: Path, log: Path, who: str = "Ada") -> Iterator[Served]:
    """Serve the review of a run on a free port."""
    finished = load_run(run)
    session = ReviewSession(finished, ReviewLog(log, {"run": finished.name, "data": finished.data}), who)
    bound = bind()
    port = bound.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(review_app(session, TOKEN, port), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield Served(session, port)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        bound.close()
