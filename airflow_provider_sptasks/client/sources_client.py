"""The client of SailPoint's sources: finds them, starts their aggregations, and follows them."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial

from airflow_provider_sptasks.client import sources as api
from airflow_provider_sptasks.client.errors import (
    APIError,
    NotFoundError,
    SourceNotFoundError,
    SourceNotUniqueError,
    UnauthorizedError,
)
from airflow_provider_sptasks.client.filters import MAX_PAGE_SIZE, first_chunk
from airflow_provider_sptasks.client.ids import check_id
from airflow_provider_sptasks.client.models import TaskKind, TaskStatus
from airflow_provider_sptasks.client.models_sources import AggregationProgress, Source
from airflow_provider_sptasks.client.multipart import Upload
from airflow_provider_sptasks.client.retry import RetryPolicy
from airflow_provider_sptasks.client.transport import Transport


class SourcesClient:
    """
    Finds the sources of a tenant and starts their aggregations.

    Safe to share between threads. Each call is tried again as those of
    :class:`~airflow_provider_sptasks.client.client.TaskStatusClient` are, but an aggregation is never started
    twice.

    :param transport: sends the requests: that of a ``TaskStatusClient``, to share session, token and pace
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def with_retry(self, retry: RetryPolicy) -> SourcesClient:
        """
        Return a client that shares everything with this one but its patience.

        :param retry: how long and how often its calls are tried
        """
        twin = copy.copy(self)
        twin.transport = self.transport.with_retry(retry)
        return twin

    def get(self, source_id: str) -> Source:
        """
        Read one source (``GET /sources/{id}``).

        :param source_id: SailPoint's id of the source
        :raises SourceNotFoundError: the tenant has no such source
        :raises ValueError: the id can't be one
        """
        request = api.get_source(self.transport.version, source_id)
        try:
            return self.transport.call(request, api.decode_source)
        except NotFoundError as error:
            raise SourceNotFoundError(f"with the id {source_id}") from error

    def find_by_name(self, name: str) -> Source:
        """
        Look a source up by its name (``GET /sources``).

        :param name: the source's name, whatever its case
        :raises SourceNotFoundError: the tenant has no such source
        :raises SourceNotUniqueError: it has several
        :raises ValueError: the name is empty
        """
        wanted = name.strip()
        if not wanted:
            raise ValueError("The name of the source is empty.")
        request = api.find_sources(self.transport.version, wanted)
        answer = self.transport.call(request, api.decode_sources)
        found = [source for source in answer if source.name.casefold() == wanted.casefold()]
        if not found:
            raise SourceNotFoundError(f"named {wanted!r}")
        if len(found) > 1:
            raise SourceNotUniqueError(wanted, [source.id for source in found])
        return found[0]

    def page(self, source_id: str) -> str:
        """
        Return the URL of a source's page in the administration UI.

        :param source_id: SailPoint's id of the source
        :raises ValueError: the id can't be one
        """
        return api.source_page(self.transport.settings.admin_url, source_id)

    def unknown(self, source_ids: Iterable[str]) -> set[str]:
        """
        Tell which sources the tenant doesn't know, in as few requests as possible (``GET /sources``).

        Where the credentials may not read sources, none is said to be unknown.

        :param source_ids: SailPoint's ids of the sources
        :raises ValueError: an id can't be one
        """
        rest = [check_id(each, "source_id") for each in source_ids]
        unknown = set(rest)
        while rest:
            chunk = first_chunk(api.sources_with_ids, self.transport.version, rest, MAX_PAGE_SIZE)
            try:
                found = self.transport.call(
                    api.sources_with_ids(self.transport.version, chunk), api.decode_sources
                )
            except APIError as error:
                if error.retryable or isinstance(error, UnauthorizedError):
                    raise
                return set()
            known = {source.id.casefold() for source in found}
            unknown -= {each for each in chunk if each.casefold() in known}
            rest = rest[len(chunk) :]
        return unknown

    def start_aggregation(
        self,
        source_id: str,
        kind: TaskKind | str = TaskKind.ACCOUNTS,
        file: str | os.PathLike[str] | None = None,
        disable_optimization: bool = False,
    ) -> TaskStatus:
        """
        Start an aggregation, and never two.

        ``POST /sources/{id}/load-accounts``, ``load-entitlements`` or ``load-uncorrelated-accounts``. It is
        tried again only after failures that show that the tenant did not act on it: no connection, 401, 429,
        a connection that broke before all was sent.

        :param source_id: SailPoint's id of the source
        :param kind: ``accounts``, ``entitlements`` or ``uncorrelated_accounts``
        :param file: path of a CSV file of any size, for delimited-file sources and uncorrelated accounts
        :param disable_optimization: whether accounts that have not changed are processed as well
        :return: the task that was started
        :raises AggregationRunningError: nothing was started, because another aggregation of the source runs
        :raises AmbiguousError: it was sent, and nobody knows whether the tenant acted on it
        :raises UploadError: the file can't be read; nothing was started
        :raises ValueError: an argument can't be right; nothing was sent
        """
        kind = TaskKind(kind)
        with nullcontext() if file is None else Upload(file) as upload:
            request = api.start_aggregation(
                self.transport.version, source_id, kind, upload, disable_optimization=disable_optimization
            )
            return self.transport.call(
                request, partial(api.decode_started, source_id=source_id.strip(), kind=kind)
            )

    def aggregation_status(self, task_status_id: str) -> AggregationProgress | None:
        """
        Read how an account aggregation goes on (``GET /account-aggregations/{id}/status``).

        :param task_status_id: SailPoint's id of the task
        :return: ``None`` for what is no account aggregation, or ended more than about an hour ago
        :raises ValueError: the id can't be one
        """
        request = api.get_progress(self.transport.version, task_status_id)
        try:
            progress = self.transport.call(request, api.decode_progress)
        except NotFoundError:
            return None
        return None if progress.status == "NOT_FOUND" else progress
