"""The client of SailPoint's sources: finds them, starts their aggregations, and follows them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial

from airflow_provider_sptasks.client import sources as api
from airflow_provider_sptasks.client.base_client import BaseClient
from airflow_provider_sptasks.client.chunks import ChunkSize, send_in_chunks
from airflow_provider_sptasks.client.entries import Page, PassedOver
from airflow_provider_sptasks.client.errors import (
    ForbiddenError,
    NotFoundError,
    SourceNotFoundError,
    SourceNotUniqueError,
)
from airflow_provider_sptasks.client.http import Request
from airflow_provider_sptasks.client.ids import check_id, check_ids
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.models_sources import AggregationProgress, Source
from airflow_provider_sptasks.client.multipart import Upload
from airflow_provider_sptasks.client.paging import read_pages
from airflow_provider_sptasks.client.start_options import StartOptions
from airflow_provider_sptasks.client.transport import Transport


class SourcesClient(BaseClient):
    """
    Finds the sources of a tenant and starts their aggregations.

    Calls are tried again, but an aggregation is never started twice.

    :param transport: sends the requests: that of a ``TaskStatusClient``, to share session, token and pace
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._max_ids = ChunkSize()
        self._passed_over = PassedOver()

    def get(self, source_id: str) -> Source:
        """
        Return one source (``GET /sources/{id}``).

        :param source_id: SailPoint's id of the source
        :raises SourceNotFoundError: the tenant has no such source
        :raises ValueError: the id can't be one
        """
        wanted = check_id(source_id, "source_id")
        request = api.get_source(self.transport.version, wanted)
        try:
            return self.transport.call(request, partial(api.decode_source, source_id=wanted))
        except NotFoundError as error:
            raise SourceNotFoundError(f"with the id {source_id}") from error

    def find_by_name(self, name: str) -> Source:
        """
        Return the source of a name (``GET /sources``).

        :param name: the source's name, case-insensitive
        :raises SourceNotFoundError: the tenant has no such source
        :raises SourceNotUniqueError: it has several
        :raises ValueError: the name is empty
        """
        wanted = name.strip()
        if not wanted:
            raise ValueError("The name of the source is empty.")
        request = api.find_sources(self.transport.version, wanted)
        answer = self._page(request)
        found = [source for source in answer.items if source.name.casefold() == wanted.casefold()]
        if not found:
            raise SourceNotFoundError(f"named {wanted!r}")
        if len(found) > 1:
            raise SourceNotUniqueError(wanted, [source.id for source in found])
        return found[0]

    def list(self, filters: str = "") -> Iterator[Source]:
        """
        Yield the tenant's sources by name, page by page as they are consumed (``GET /sources``).

        :param filters: a filter expression of your own, as SailPoint documents them
        :raises UnexpectedPayloadError: the list kept changing while its pages were read
        """
        version = self.transport.version
        seen: set[str] = set()
        pages = read_pages(
            lambda offset: self._page(api.list_sources(version, filters=filters, offset=offset)),
            f"GET {version.sources}",
        )
        for page in pages:
            new = [source for source in page.items if source.id not in seen]
            seen.update(source.id for source in new)
            yield from new

    def page(self, source_id: str) -> str:
        """
        Return the URL of a source's page in the administration UI.

        :param source_id: SailPoint's id of the source
        :return: empty for what can't be the id of a source
        """
        return api.source_page(self.transport.settings.admin_url, source_id)

    def unknown(self, source_ids: Iterable[str]) -> set[str]:
        """
        Return which sources the tenant doesn't know, in as few requests as possible (``GET /sources``).

        Where the credentials may not read sources (403), none is said to be unknown.

        :param source_ids: SailPoint's ids of the sources
        :raises BadRequestError: the tenant refuses a request, perhaps for one of the ids only
        :raises ValueError: an id can't be one
        """
        wanted = {each.casefold(): each for each in (check_id(each, "source_id") for each in source_ids)}
        version = self.transport.version
        known: set[str] = set()

        def send(chunk: Sequence[str]) -> None:
            known.update(key.casefold() for key in self._page(api.sources_with_ids(version, chunk)).keys)

        try:
            send_in_chunks(list(wanted.values()), self._max_ids, send)
        except ForbiddenError:
            return set()
        return {each for folded, each in wanted.items() if folded not in known}

    def _page(self, request: Request) -> Page[Source]:
        page = self.transport.call(request, api.decode_sources)
        self._passed_over.note(f"{request.method} {request.path}", page)
        return page

    def start_aggregation(
        self,
        source_id: str,
        kind: TaskKind | str = TaskKind.ACCOUNTS,
        file: str | os.PathLike[str] | None = None,
        disable_optimization: bool = False,
        *,
        object_type: str | None = None,
        dataset_ids: Sequence[str] = (),
    ) -> TaskStatus:
        """
        Start an aggregation, and never two.

        ``POST /sources/{id}/load-accounts``, ``load-entitlements``, ``load-uncorrelated-accounts``,
        ``aggregate-agents`` or ``datasets/{id}/aggregate``. It is tried again only after failures that show
        that the tenant did not act on it: no connection, 401, 429, a connection that broke before all was
        sent.

        :param source_id: SailPoint's id of the source
        :param kind: ``accounts``, ``entitlements``, ``uncorrelated_accounts``, ``ai_agents`` (from ``v2025``
            on) or ``datasets`` (on ``v1``)
        :param file: path of a CSV file of any size, for delimited-file sources and uncorrelated accounts
        :param disable_optimization: whether accounts, or agents, that have not changed are processed as well
        :param object_type: the entitlement schema that a file of entitlements is for
        :param dataset_ids: the datasets to read AI agents from; or the one to aggregate
        :return: the task that was started
        :raises AggregationRunningError: nothing was started, because another aggregation of the source runs
        :raises AmbiguousError: it was sent, and the tenant may have acted on it
        :raises UploadError: the file can't be read; nothing was started
        :raises ValueError: an argument is invalid; nothing was sent
        """
        kind = TaskKind(kind)
        source_id = check_id(source_id, "source_id")
        datasets = check_ids(dataset_ids, "dataset_ids").values()
        path = None if file is None else os.fspath(file)
        options = StartOptions(path, disable_optimization, object_type, tuple(datasets))
        with nullcontext() if path is None else Upload(path) as upload:
            request = api.start_aggregation(self.transport.version, source_id, kind, options, upload)
            return self.transport.call(request, partial(api.decode_started, source_id=source_id, kind=kind))

    def aggregation_status(self, task_status_id: str) -> AggregationProgress | None:
        """
        Read how an account aggregation goes on (``GET /account-aggregations/{id}/status``).

        :param task_status_id: SailPoint's id of the task
        :return: ``None`` for what is no account aggregation, or ended more than about an hour ago
        :raises ValueError: the id can't be one
        """
        request = api.get_progress(self.transport.version, check_id(task_status_id, "task_status_id"))
        try:
            progress = self.transport.call(request, api.decode_progress)
        except NotFoundError:
            return None
        return None if progress.status == "NOT_FOUND" else progress
