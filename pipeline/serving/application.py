"""The routes of the service; FastAPI describes them as OpenAPI in ``/openapi.json``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import Depends, FastAPI, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from ivr.errors import IvrError
from ivr.features.raster_process import RasterReaderError
from ivr.pipeline.archive.lance_library import LostVersionError
from ivr.pipeline.archive.postgres import DatabaseDownError
from ivr.pipeline.archive.search import ArchiveHit, geojson_of
from ivr.pipeline.runtime.progress import warn
from ivr.pipeline.runtime.results import json_value

from .galleries import Asked
from .resident import Answer, ResidentArchive
from .service_errors import OverloadedError, UnknownItemError
from .service_metrics import ServiceMetrics

PAGE = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
THREADS = 12
"""Number of requests that are worked on at a time; the others wait in the order of arrival."""
BAD_REQUEST = 422
"""Status of an expected error of which the client can repair the cause."""
MOST_EXACT = (1 << 53) - 1
"""Whole numbers beyond this one are text in the answers of the service."""
COME_BACK = 10
"""Seconds after which a client may ask again, where the cause lies with the service."""
_OF_THE_MACHINE: dict[type[IvrError], str] = {
    DatabaseDownError: "the database does not answer; come back in a while",
    LostVersionError: "the archive cannot be read at the moment; come back in a while",
    RasterReaderError: "images of this kind cannot be read at the moment; come back in a while",
}
"""Errors that no client causes, and what clients are told; the operator is told the reason."""


FIELDS = frozenset({"voice", "image", "count", "find", "where", "bbox", "within", "format"})
"""Fields of the form of a search."""


def application(resident: ResidentArchive) -> FastAPI:
    """Return the service of an archive, without what guards it.

    Args:
        resident: the archive in memory.
    """
    app = FastAPI(
        title="ivr: search an archive of images by voice",
        version=version("image-voice-hashing"),
        docs_url=None,
        redoc_url=None,
        lifespan=_few_threads,
    )
    metrics = ServiceMetrics(resident)
    _add_page(app)
    _add_search(app, resident, metrics)
    _add_items(app, resident)
    _add_status(app, resident, metrics)

    def expected(_: Request, error: Exception) -> JSONResponse:
        return _in_one_line(resident, error)

    app.add_exception_handler(IvrError, expected)
    _tell_errors_in_one_line(app)
    app.state.metrics = metrics
    return app


@asynccontextmanager
async def _few_threads(_: FastAPI) -> AsyncIterator[None]:
    """Answer with a few threads: more take memory and wait for each other and the readers."""
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _in_one_line(resident: ResidentArchive, error: Exception) -> JSONResponse:
    """Answer with the message of ``error``, without places that clients are not shown."""
    for kind, text in _OF_THE_MACHINE.items():
        if isinstance(error, kind):
            warn(str(error))
            return _come_back(text)
    text = resident.without_places(str(error))
    if isinstance(error, OverloadedError):
        return _come_back(text)
    status = 404 if isinstance(error, UnknownItemError) else BAD_REQUEST
    return JSONResponse({"error": text}, status)


def _come_back(text: str) -> JSONResponse:
    return JSONResponse({"error": text}, 503, headers={"retry-after": str(COME_BACK)})


def _add_page(app: FastAPI) -> None:
    folder = files("ivr.pipeline.serving") / "page"
    for path, (name, kind) in PAGE.items():
        content = (folder / name).read_bytes()

        def page(content: bytes = content, kind: str = kind) -> Response:
            return Response(content, media_type=kind)

        app.add_api_route(path, page, include_in_schema=False)

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> Response:
        return Response(status_code=204)


def _tell_errors_in_one_line(app: FastAPI) -> None:
    @app.exception_handler(AnyHTTPException)
    async def refused(_: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = next((str(part) for part in reversed(first["loc"]) if isinstance(part, str)), "body")
        return JSONResponse({"error": f"{name}: {first['msg']}"}, 422)


async def _known_fields(request: Request) -> None:
    """Refuse a form with a field that no search has, such as a misspelt one."""
    unknown = sorted(set(await request.form()) - FIELDS)
    if unknown:
        known = ", ".join(sorted(FIELDS))
        raise HTTPException(422, f"no field {unknown[0][:40]!r}; there are {known}")


def _add_search(app: FastAPI, resident: ResidentArchive, metrics: ServiceMetrics) -> None:
    @app.post(
        "/search",
        summary="Find the items nearest to a recording or an image.",
        dependencies=[Depends(_known_fields)],
    )
    def search(
        voice: Annotated[UploadFile | None, File(description="A recording.")] = None,
        image: Annotated[UploadFile | None, File(description="An image.")] = None,
        count: Annotated[int, Form(description="Largest number of hits.", ge=1, le=1000)] = 10,
        find: Annotated[
            Literal["images", "voices", ""],
            Form(description="What to find; by default the other modality than the query's."),
        ] = "",
        where: Annotated[
            str, Form(description="SQL condition on the columns.", max_length=2000)
        ] = "",
        bbox: Annotated[
            str, Form(description="WEST,SOUTH,EAST,NORTH in degrees.", max_length=200)
        ] = "",
        within: Annotated[int | None, Form(description="Largest distance, bits.", ge=0)] = None,
        form: Annotated[
            Literal["json", "geojson"], Form(alias="format", description="Form of the answer.")
        ] = "json",
    ) -> JSONResponse:
        """Answer with the hits, nearest first, how clear the first one is, and warnings."""
        if (voice is None) == (image is None):
            raise HTTPException(422, "send a voice or an image, exactly one of them")
        asked = Asked(count, find or None, where or None, bbox or None, within)
        if voice is not None:
            answer = resident.by_voice(voice.file.read(), asked)
        else:
            assert image is not None
            answer = resident.by_image(image.file.read(), asked)
        metrics.time(answer)
        if form == "geojson":
            places = exact(geojson_of(answer.result))
            return JSONResponse(places, media_type="application/geo+json")
        return JSONResponse(exact(answer_json(answer)))


def _add_items(app: FastAPI, resident: ResidentArchive) -> None:
    @app.get(
        "/items/{item}/thumbnail",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
        summary="A small picture of an image.",
    )
    def thumbnail(item: int) -> Response:
        return Response(resident.thumbnail(item), media_type="image/jpeg", headers=_KEPT)

    @app.get(
        "/items/{item}/audio",
        response_class=Response,
        responses={200: {"content": {"audio/wav": {}}}},
        summary="A voice as a WAV recording.",
    )
    def audio(item: int) -> Response:
        return Response(resident.audio(item), media_type="audio/wav", headers=_KEPT)


def _add_status(app: FastAPI, resident: ResidentArchive, metrics: ServiceMetrics) -> None:
    @app.get("/health", summary="Whether the service answers, and from the newest version.")
    async def health() -> JSONResponse:
        """Answer 200; 503 where the archive or the database is gone."""
        trouble = resident.trouble
        found: dict[str, Any] = {"status": "ok", "version": resident.gallery.version}
        if trouble is None:
            return JSONResponse(found)
        found |= {"status": "gone" if trouble.is_gone else "stale", "since": trouble.since}
        return JSONResponse(found, 503 if trouble.is_gone else 200)

    @app.get("/archive", summary="What is served.")
    async def archive() -> dict[str, Any]:
        return resident.about()

    @app.get("/metrics", response_class=Response, summary="Metrics for Prometheus.")
    def metrics_page() -> Response:
        return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


_KEPT = {"cache-control": "private, max-age=300"}


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return what ``/search`` answers, as JSON values."""
    found = answer.result
    return {
        "version": found.version,
        "confidence": json_value(found.confidence),
        "warnings": json_value(found.warnings),
        "seconds": {stage: round(value, 6) for stage, value in answer.seconds.items()},
        "hits": [_hit_json(rank, hit) for rank, hit in enumerate(found.hits, 1)],
    }


def exact(value: Any) -> Any:
    """Return JSON values with whole numbers that browsers would round as text.

    JavaScript reads each number as a float, which holds whole numbers up to :data:`MOST_EXACT`.
    """
    if isinstance(value, dict):
        return {name: exact(one) for name, one in value.items()}
    if isinstance(value, list):
        return [exact(one) for one in value]
    rounded = isinstance(value, int) and abs(value) > MOST_EXACT
    return str(value) if rounded else value


def _hit_json(rank: int, hit: ArchiveHit) -> dict[str, Any]:
    return {
        "rank": rank,
        "id": hit.row_id,
        "name": hit.name,
        "modality": hit.modality,
        "distance": hit.distance,
        "label": hit.label,
        "caption": hit.caption,
        "columns": json_value(hit.columns),
    }
