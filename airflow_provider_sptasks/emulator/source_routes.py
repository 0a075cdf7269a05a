"""Sources over HTTP: lists of them, and one by its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from starlette.responses import Response
from starlette.routing import BaseRoute

from airflow_provider_sptasks.emulator.credentials import LIST_SOURCES, READ_SOURCE
from airflow_provider_sptasks.emulator.endpoint import Call, encoded, expression, json_answer, page, route
from airflow_provider_sptasks.emulator.errors import ApiError
from airflow_provider_sptasks.emulator.sources import Source
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.versions import ApiVersion

_ALL = frozenset({"eq", "ge", "gt", "in", "le", "lt", "ne", "isnull", "sw"})
# As documented, but for features, authoritative and healthy, whose values are no texts.
_FILTERS: Mapping[str, frozenset[str]] = {
    "id": _ALL,
    "name": (_ALL | {"co"}) - {"le", "lt"},
    "type": _ALL - {"le", "lt"},
    "owner.id": _ALL,
    "created": _ALL,
    "modified": _ALL,
    "managementWorkgroup.id": _ALL,
    "description": frozenset({"eq", "sw"}),
    "status": _ALL,
    "connectionType": _ALL,
    "connectorName": _ALL - {"le", "lt"},
    "category": (_ALL | {"co"}) - {"isnull"},
}
_SORTERS = frozenset(
    {
        "type",
        "created",
        "modified",
        "name",
        "owner.name",
        "healthy",
        "status",
        "id",
        "description",
        "owner.id",
        "accountCorrelationConfig.id",
        "accountCorrelationConfig.name",
        "managerCorrelationRule.type",
        "managerCorrelationRule.id",
        "managerCorrelationRule.name",
        "authoritative",
        "managementWorkgroup.id",
        "connectorName",
        "connectionType",
    }
)


def routes(state: State, version: ApiVersion) -> list[BaseRoute]:
    """
    Return the routes of a version.

    :param state: the emulator's state.
    :param version: the API version.
    """
    add = partial(route, state, version)
    return [
        add(version.sources, {"GET": (_list, LIST_SOURCES)}),
        add(f"{version.sources}/{{id}}", {"GET": (_get, READ_SOURCE)}),
    ]


def source_of(call: Call) -> Source:
    """
    Return the source that a request names.

    :param call: the request.
    """
    source = call.tenant.sources.get(call.id)
    if source is None:
        raise ApiError(404)
    return source


def _list(call: Call) -> Response:
    where = expression(call, _FILTERS)
    documents = [source.snapshot() for source in call.tenant.sources.all()]
    if where is not None:
        documents = [document for document in documents if where.matches(partial(_text, document))]
    sorters = call.request.query_params.get("sorters", "")
    for sorter in reversed([each.strip() for each in sorters.split(",")] if sorters else []):
        field = sorter.removeprefix("-")
        if field not in _SORTERS:
            raise ApiError(400, f"Sorting by {sorter} is not supported.")
        documents.sort(key=_order(field), reverse=sorter.startswith("-"))
    return json_answer(*page(call, documents, encoded))


def _get(call: Call) -> Response:
    return json_answer(encoded(source_of(call).snapshot()))


def _value(document: Mapping[str, object], field: str) -> object:
    """Return what a document has at a path such as ``owner.id``, ``None`` where it leads nowhere."""
    value: object = document
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(document: Mapping[str, object], field: str) -> str | None:
    value = _value(document, field)
    return None if value is None else str(value)


def _order(field: str) -> Callable[[Mapping[str, object]], str]:
    return lambda document: (_text(document, field) or "").casefold()
