"""The routes of the service; FastAPI describes them as OpenAPI in ``/openapi.json``."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse

from ivr.features.media import MediaError
from ivr.pipeline.archive.lance_library import ArchiveError
from ivr.pipeline.archive.search import ArchiveHit, geojson_of
from ivr.pipeline.runtime.results import json_value

from .resident import Answer, Asked, ResidentArchive, UnknownItemError
from .service_metrics import ServiceMetrics

PAGE = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
STATUS: dict[type[Exception], int] = {UnknownItemError: 404, MediaError: 422, ArchiveError: 422}
"""Status of the errors that a request can have."""


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
    )
    metrics = ServiceMetrics(resident)
    _add_page(app)
    _add_search(app, resident, metrics)
    _add_items(app, resident)
    _add_status(app, resident, metrics)
    for kind in STATUS:
        app.add_exception_handler(kind, _in_one_line)

    @app.middleware("http")
    async def counted(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        route = request.scope.get("route")
        metrics.count(getattr(route, "path", "other"), response.status_code)
        return response

    return app


def _in_one_line(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, STATUS[type(error)])


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


def _add_search(app: FastAPI, resident: ResidentArchive, metrics: ServiceMetrics) -> None:
    @app.post("/search", summary="Find the items nearest to a recording or an image.")
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
            return JSONResponse(geojson_of(answer.result), media_type="application/geo+json")
        return JSONResponse(answer_json(answer))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)


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
    @app.get("/health", summary="Whether the service answers.")
    def health() -> dict[str, Any]:
        return {"status": "ok", "version": resident.archive.version}

    @app.get("/archive", summary="What is served.")
    def archive() -> dict[str, Any]:
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
