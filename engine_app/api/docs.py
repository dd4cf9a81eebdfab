"""The API's own documentation: the OpenAPI document and a page that shows it, all from here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse

from engine.errors import NotFound
from engine_app.api import shapes
from engine_app.api.guard import open_to_all
from engine_app.api.strict import Strict

router = APIRouter(route_class=Strict, include_in_schema=False)
_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
# Swagger UI starts by an inline script, styles itself inline and draws icons from data URLs.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def _folder() -> Path:
    # The package's module patches FastAPI on import; only the files it ships are wanted.
    spec = importlib.util.find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


@router.get("/openapi.json")
@open_to_all
def openapi(request: Request) -> Response:
    """The OpenAPI 3.1 document."""
    return shapes.json(request.app.openapi())


@router.get("/docs")
@open_to_all
def page() -> Response:
    """A page to read and try the API with, that loads nothing from elsewhere."""
    html = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Execution Engine API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )
    html.headers["Content-Security-Policy"] = _POLICY
    return html


@router.get("/docs/{name}")
@open_to_all
def asset(name: str) -> Response:
    """A file of the page."""
    if name not in _FILES:
        raise NotFound(f"there is no file {name}")
    headers = {"Cache-Control": "public, max-age=86400"}
    return FileResponse(_folder() / name, media_type=_FILES[name], headers=headers)
