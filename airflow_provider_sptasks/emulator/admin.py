"""
The tenant's back door over HTTP, for whoever runs the emulator from a shell: below ``/_emulator``.

======================================== ===============================================================
``GET /_emulator/``                      time, and how much there is of everything
``GET, POST /_emulator/tasks``           all tasks; add one, or several (the keys of a scenario's task)
``POST /_emulator/tasks/{id}/complete``  end a task now: ``{"outcome": "SUCCESS"}``
``GET, POST /_emulator/sources``         all sources; add one, or several (the keys of a scenario's source)
``GET, POST, DELETE …/schedules``        all schedules; add one, or several (the keys of a scenario's
                                         schedule); launch nothing any more
``GET /_emulator/started``               the tasks that clients have started
``GET /_emulator/uploads``               the files that clients have uploaded: their sizes and hashes
``POST /_emulator/clock``                move the tenant's time: ``{"advance": "1h"}``
``GET, POST, DELETE /_emulator/faults``  active faults; add one (the parameters of ``Emulator.fail``); none
``GET, DELETE /_emulator/requests``      the log; forget it
``POST /_emulator/revoke``               revoke tokens, of one ``{"client_id": "…"}`` or of all
``POST /_emulator/reset``                no tasks, sources, schedules, faults, tokens, log
======================================== ===============================================================

A POST has the header ``Content-Type: application/json``, as ``curl --json`` sends it: a web page of another
origin can't send that.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from airflow_provider_sptasks.emulator.clock import timestamp
from airflow_provider_sptasks.emulator.controls import Controls
from airflow_provider_sptasks.emulator.durations import parse_duration
from airflow_provider_sptasks.emulator.faults import Fault
from airflow_provider_sptasks.emulator.gateway import ADMIN_PREFIX
from airflow_provider_sptasks.emulator.requestlog import LoggedRequest
from airflow_provider_sptasks.emulator.same_origin import SameOrigin
from airflow_provider_sptasks.emulator.scenario_tables import parse_schedule, parse_source, parse_task
from airflow_provider_sptasks.emulator.state import State
from airflow_provider_sptasks.emulator.taskstore import UnknownTaskError

Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Call:
    controls: Controls
    path: Mapping[str, str]
    body: Body

    @property
    def state(self) -> State:
        return self.controls.state


Action = Callable[[_Call], object]

# The types that JSON may have for the parameters of a fault.
_FAULT_KEYS: Mapping[str, tuple[type, ...]] = {
    "status": (int,),
    "kind": (str,),
    "method": (str,),
    "path": (str,),
    "query": (str,),
    "times": (int,),
    "probability": (int, float),
    "delay": (int, float, str),
    "headers": (dict,),
    "body": (str,),
    "size": (int,),
}


def mount(controls: Controls) -> Mount:
    """
    Return the admin routes.

    :param controls: the tenant's.
    """

    def route(path: str, actions: Mapping[str, Action]) -> Route:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            try:
                body = json.loads(raw) if raw else {}
                if not isinstance(body, dict):
                    raise ValueError(f"the body is not a JSON object: {body!r}")
                with controls.state.lock:
                    # HEAD comes with every GET.
                    action = actions.get(request.method) or actions["GET"]
                    return _json(action(_Call(controls, request.path_params, body)))
            except json.JSONDecodeError as error:
                return _json({"error": f"the body is not JSON: {error}"}, 400)
            except UnknownTaskError as error:
                return _json({"error": str(error)}, 404)
            except ValueError as error:
                return _json({"error": str(error)}, 400)

        return Route(path, endpoint, methods=list(actions))

    routes = [
        route("/", {"GET": _overview}),
        route("/tasks", {"GET": _tasks, "POST": _add_task}),
        route("/tasks/{id}/complete", {"POST": _complete}),
        route("/sources", {"GET": _sources, "POST": _add_source}),
        route("/schedules", {"GET": _schedules, "POST": _add_schedule, "DELETE": _clear_schedules}),
        route("/started", {"GET": _started}),
        route("/uploads", {"GET": _uploads}),
        route("/clock", {"POST": _advance}),
        route("/faults", {"GET": _faults, "POST": _add_fault, "DELETE": _clear_faults}),
        route("/requests", {"GET": _requests, "DELETE": _clear_requests}),
        route("/revoke", {"POST": _revoke}),
        route("/reset", {"POST": _reset}),
    ]
    # A web page could reach a server on loopback under a name of its own, but not with this host header.
    only_local = Middleware(
        TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False
    )
    return Mount(ADMIN_PREFIX, routes=routes, middleware=[only_local, Middleware(SameOrigin)])


def _overview(call: _Call) -> object:
    return {
        "now": timestamp(call.state.tenant.clock.now()),
        "tasks": len(call.state.tenant.tasks()),
        "sources": len(call.state.tenant.sources.all()),
        "schedules": len(call.state.tenant.schedules()),
        "started": len(call.state.tenant.started()),
        "faults": len(call.state.faults.active()),
        "requests": len(call.state.requests.entries()),
        "rateLimit": None if call.state.limiter is None else asdict(call.state.limiter.limit),
    }


def _tasks(call: _Call) -> object:
    now = call.state.tenant.clock.now()
    return [task.snapshot(now) for task in call.state.tenant.tasks()]


def _add_task(call: _Call) -> object:
    with call.controls.clock.stopped():
        batch = parse_task(call.body, "task")
        added = batch.add(call.controls.add_task)
        return [task.snapshot(call.controls.clock.now()) for task in added]


def _complete(call: _Call) -> object:
    _only(call.body, "outcome")
    outcome = _text(call.body, "outcome") or "SUCCESS"
    task = call.state.tenant.complete(call.path["id"], outcome)
    return task.snapshot(call.state.tenant.clock.now())


def _sources(call: _Call) -> object:
    return [source.snapshot() for source in call.state.tenant.sources.all()]


def _add_source(call: _Call) -> object:
    batch = parse_source(call.body, "source")
    return [source.snapshot() for source in batch.add(call.controls.add_source)]


def _schedules(call: _Call) -> object:
    return [asdict(schedule) for schedule in call.state.tenant.schedules()]


def _add_schedule(call: _Call) -> object:
    with call.controls.clock.stopped():
        batch = parse_schedule(call.body, "schedule")
        return [asdict(schedule) for schedule in batch.add(call.controls.schedule)]


def _clear_schedules(call: _Call) -> object:
    call.state.tenant.clear_schedules()
    return []


def _started(call: _Call) -> object:
    now = call.state.tenant.clock.now()
    return [task.snapshot(now) for task in call.state.tenant.started()]


def _uploads(call: _Call) -> object:
    return [asdict(upload) for upload in call.state.tenant.uploads]


def _advance(call: _Call) -> object:
    _only(call.body, "advance")
    if "advance" not in call.body:
        raise ValueError('advance is missing; write {"advance": "1h"}')
    call.state.tenant.advance(parse_duration(call.body["advance"], f"advance = {call.body['advance']!r}"))
    return {"now": timestamp(call.state.tenant.clock.now())}


def _faults(call: _Call) -> object:
    return [_fault_json(fault) for fault in call.state.faults.active()]


def _add_fault(call: _Call) -> object:
    _only(call.body, *_FAULT_KEYS)
    for key, value in call.body.items():
        if not isinstance(value, _FAULT_KEYS[key]) or isinstance(value, bool):
            raise ValueError(f"{key} = {value!r} is not of the type {_FAULT_KEYS[key][0].__name__}")
    values = dict(call.body)
    if "delay" in values:
        values["delay"] = parse_duration(values["delay"], f"delay = {values['delay']!r}")
    headers = call.body.get("headers", {})
    if isinstance(headers, dict) and not all(isinstance(value, str) for value in headers.values()):
        raise ValueError(f"headers = {headers!r} must have texts as values")
    return _fault_json(call.state.faults.add(**values))  # type: ignore[arg-type]


def _clear_faults(call: _Call) -> object:
    call.state.faults.clear()
    return []


def _requests(call: _Call) -> object:
    return [_request_json(entry) for entry in call.state.requests.entries()]


def _clear_requests(call: _Call) -> object:
    call.state.requests.clear()
    return []


def _revoke(call: _Call) -> object:
    _only(call.body, "client_id")
    call.state.tenant.credentials.revoke(_text(call.body, "client_id"))
    return {}


def _reset(call: _Call) -> object:
    call.state.reset()
    return {}


def _json(document: object, status: int = 200) -> Response:
    # Not Starlette's, which can't send half of a surrogate pair.
    return Response(json.dumps(document, separators=(",", ":")), status, media_type="application/json")


def _only(body: Body, *keys: str) -> None:
    for key in body:
        if key not in keys:
            raise ValueError(f"unknown key {key!r}; use {', '.join(keys)}")


def _text(body: Body, key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} = {value!r} must be a text")
    return value


def _fault_json(fault: Fault) -> dict[str, object]:
    return asdict(fault) | {"body": None if fault.body is None else fault.body.decode("utf-8", "replace")}


def _request_json(entry: LoggedRequest) -> dict[str, object]:
    return asdict(entry) | {"body": base64.b64encode(entry.body).decode()}
