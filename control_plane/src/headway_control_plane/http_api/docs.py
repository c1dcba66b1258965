"""The documentation page of the API: Swagger UI from our own server, under our own content policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

from headway_control_plane.http_api.problems import MEDIA_TYPE

PREFIX = "/api/v1"
# Swagger UI sets style attributes and shows inlined icons; scripts stay our own alone.
_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Headway API</title>
<link rel="stylesheet" href="{PREFIX}/docs/static/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="{PREFIX}/docs/static/swagger-ui-bundle.js"></script>
<script src="{PREFIX}/docs/start.js"></script>
</body>
</html>
"""
_SCRIPT = f"""SwaggerUIBundle({{
  url: "{PREFIX}/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
}});
"""


def install(app: FastAPI) -> None:
    """Serve the page and its files."""

    async def page(_request: Request) -> Response:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})

    async def script(_request: Request) -> Response:
        return Response(_SCRIPT, media_type="text/javascript")

    app.add_route(f"{PREFIX}/docs", page, include_in_schema=False)
    app.add_route(f"{PREFIX}/docs/start.js", script, include_in_schema=False)
    app.mount(f"{PREFIX}/docs/static", StaticFiles(directory=Path(str(swagger_ui_path))))


def describe(app: FastAPI) -> dict[str, Any]:
    """Make the OpenAPI document: FastAPI's, with problem details under their own media type."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        for path in document["paths"].values():
            for operation in path.values():
                for answer in operation["responses"].values():
                    _retype(answer)
        app.openapi_schema = document
    return app.openapi_schema


def _retype(answer: dict[str, Any]) -> None:
    content = answer.get("content", {})
    shape = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    if shape.endswith(("/ProblemShape", "/HTTPValidationError")):
        content.pop("application/json")
        content[MEDIA_TYPE] = {"schema": {"$ref": "#/components/schemas/ProblemShape"}}
