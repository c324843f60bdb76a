"""The pages that people open in a browser: built by `make web`, they ask nothing of any other host."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGES = Path(__file__).parent / "web"
_NOT_BUILT = "The pages have not been built: run `make web`.\n"
_HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept"}
_NOTHING_ELSE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_APP_POLICY = f"{_NOTHING_ELSE}; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
_GRAPHIQL_POLICY = (
    # Monaco, GraphiQL's editor, writes style elements, and its style sheet carries fonts and images as data.
    f"{_NOTHING_ELSE}; script-src 'self'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:"
)
# The name of an asset has the hash of its content.
_ASSET_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Surrogate-Key": "parley assets",
    # What a script of Monaco's is told holds for it as a worker, and workers load others.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'",
}


def graphiql_page(_request: Request) -> Response:
    """Answer with GraphiQL, which sends its operations to the path that it was opened at."""
    return _page("graphiql", _GRAPHIQL_POLICY)


def pages() -> list[BaseRoute]:
    """Return the routes of the messenger, of the operators' page and of what the pages load."""
    return [
        Route("/", _app_page),
        Route("/reset", _app_page),  # where `parley user reset-link` leads
        Route("/ops", _ops_page),
        *(
            Mount(f"/{page}/assets", _Assets(directory=PAGES / page / "assets", check_dir=False))
            for page in ("app", "graphiql", "ops")
        ),
    ]


def _app_page(_request: Request) -> Response:
    return _page("app", _APP_POLICY)


def _ops_page(_request: Request) -> Response:
    return _page("ops", _APP_POLICY)


def _page(name: str, policy: str) -> Response:
    try:
        index = (PAGES / name / "index.html").read_bytes()
    except FileNotFoundError:
        return PlainTextResponse(_NOT_BUILT, status_code=503)
    return HTMLResponse(index, headers={**_HEADERS, "Content-Security-Policy": policy})


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_ASSET_HEADERS)
        return response
