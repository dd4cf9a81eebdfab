"""People with a browser on the running engine."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine.store.db.database import Database
from engine.store.writes import users
from engine_app.auth.secrets import hash_password
from tests.support.system import System

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PASSWORD = "a long enough password"


class Person:
    """Someone with an account and one tab; ``troubles`` is what the tab complained of."""

    def __init__(self, system: System, page: Page, name: str = "") -> None:
        self.system = system
        self.page = page
        self.name = name or f"p{uuid.uuid4().hex[:10]}"
        self.troubles: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", lambda request: self._note(request.url))
        _add(system, self.name)

    def _note(self, url: str) -> None:
        if not url.startswith((self.system.url, "data:", "blob:")):
            self.foreign.append(url)

    def open(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(self.system.url + path)
        return self.page

    def sign_in(self, path: str = "/monitoring") -> Page:
        """Ask for a page, be led to the sign-in page, sign in and arrive."""
        page = self.open(path)
        page.fill("#name", self.name)
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(self.system.url + path)
        return page

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API with the tab's own session."""
        answer = self.page.request.fetch(
            f"{self.system.url}/api{path}",
            method=method,
            data=None if body is None else json.dumps(body),
            headers={"content-type": "application/json", "origin": self.system.url},
        )
        assert answer.ok, answer.text()
        return answer.json()

    def publish(self, document: dict[str, Any]) -> str:
        """Publish a workflow of this person's own and return its name."""
        self.api("POST", "/workflows", document)
        return str(document["name"])

    def start(self, workflow: str, value: dict[str, Any] | None = None) -> str:
        """Start an execution and return its id."""
        body = {"input": value or {}}
        answer = self.api("POST", f"/workflows/{workflow}/execute", body)
        return str(answer["execution_id"])

    def statuses(self) -> dict[str, str]:
        """Return what the timeline says of each step."""
        script = "rows => rows.map(row => [row.dataset.row, row.dataset.status])"
        return dict(self.page.eval_on_selector_all(".g[data-row]", script))


def _add(system: System, name: str) -> None:
    """Add an account, past the command line: its start takes longer than the whole test."""
    database = Database.open(f"sqlite:///{system.home / 'engine.db'}")
    now, hashed = database.now(), hash_password(PASSWORD)
    database.write(lambda connection: users.add(connection, name, now, password_hash=hashed))
    database.close()


@contextmanager
def person(system: System, browser: Browser, *, name: str = "", **options: Any) -> Iterator[Person]:
    """Yield someone with an account, not signed in yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, **options)
    try:
        yield Person(system, context.new_page(), name)
    finally:
        context.close()


def nap(seconds: float = 1.0) -> dict[str, Any]:
    """Return a workflow that takes a while without holding a worker."""
    return {
        "name": "nap",
        "input": {
            "type": "object",
            "properties": {
                "seconds": {"type": "number", "minimum": 0, "default": seconds},
                "label": {"type": "string", "minLength": 2, "default": "siesta"},
            },
        },
        "steps": {
            "begin": {"uses": "transform", "with": {"value": "${{ input.label }}"}},
            "doze": {"uses": "sleep", "needs": ["begin"], "with": {"for": "${{ input.seconds }}"}},
            "end": {
                "uses": "transform",
                "needs": ["doze"],
                "with": {"value": "${{ steps.begin.output }}"},
            },
        },
    }


def broken() -> dict[str, Any]:
    """Return a workflow whose second step fails unless the input has an ``x``."""
    return {
        "name": "broken",
        "steps": {
            "fine": {"uses": "transform", "with": {"value": 1}},
            "wrong": {"uses": "transform", "needs": ["fine"], "with": {"value": "${{ input.x }}"}},
        },
    }
