"""
What can go wrong between this package and a SailPoint tenant.

.. code-block:: text

    SailPointError
      TransportError: no answer arrived (name resolution, connection, TLS, time-out, truncated body)
      NotSentError: the call's deadline would have passed before it could be sent
      AmbiguousError: what must not be sent twice was sent, and the tenant may have acted on it
      UnexpectedPayloadError: an answer arrived that is not what the API documents
      APIError: an answer with an error status arrived
        BadRequestError: SailPoint's own 400, and every other 4xx of its own without a class of its own
          TooLongError: 413, 414, 431: the request is too large, whoever says so
        UnauthorizedError: SailPoint's own 401, or credentials that the token endpoint refused
        ForbiddenError: SailPoint's own 403
        NotFoundError: SailPoint's own 404
        TransientResponseError: 3xx, 408, 425, and every 4xx that isn't SailPoint's own
        RateLimitedError: 429
        ServerError: 5xx
      AggregationRunningError: nothing was started, because another aggregation of the source runs
      SourceNotFoundError: the tenant has no such source
      SourceNotUniqueError: the tenant has several sources of that name
      UploadError: a file can't be read, so that nothing, or not all of it, was sent

A refusal counts when it is SailPoint's own. What a gateway, a firewall or a maintenance page says on the way
says nothing about the request, and passes.

Every error knows whether trying again can help (``retryable``); nothing else decides that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class SailPointError(Exception):
    """Base of all errors of the client."""

    retryable = False
    retry_after: float | None = None


class TransportError(SailPointError):
    """
    No complete answer arrived.

    Whether the tenant acted on the request is unknown.

    :param message: what happened
    :param retryable: ``False`` where trying again can't help, as with a certificate that doesn't verify
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class NotSentError(SailPointError):
    """
    Nothing was sent: the call's deadline has passed, or passes before the client's own pace allows it.

    :param message: what was not sent
    :param retry_after: seconds until it would be allowed
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AmbiguousError(SailPointError):
    """
    What must not be sent twice was sent, and the tenant may have acted on it.

    It may be sent again only after a check.

    :param error: what happened
    :param done: what SailPoint may have done
    """

    def __init__(self, error: SailPointError, done: str = "SailPoint acted on a request") -> None:
        super().__init__(f"Whether {done} is ambiguous: {error}")
        self.error = error


class UnexpectedPayloadError(SailPointError):
    """
    The answer is not what the API documents.

    The tenant never sends it, so that it comes from something on the way (a proxy's HTML page, an empty body)
    or from a fault that passes.
    """

    retryable = True


class APIError(SailPointError):
    """
    An answer with an error status arrived.

    :param method: HTTP method of the request
    :param path: path of the request, without query
    :param status: HTTP status
    :param detail_code: SailPoint's ``detailCode``, where the answer has one
    :param text: SailPoint's English error text, where the answer has one
    :param tracking_id: SailPoint's ``trackingId``, which its support asks for
    :param retry_after: seconds that the answer asks to wait, where it does
    :param hint: what the reader can do about it
    """

    def __init__(
        self,
        method: str,
        path: str,
        status: int,
        *,
        detail_code: str | None = None,
        text: str | None = None,
        tracking_id: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        self.detail_code = detail_code
        self.text = text
        self.tracking_id = tracking_id
        self.retry_after = retry_after
        self.hint = hint
        super().__init__(self._message())

    def _message(self) -> str:
        message = f"{self.method} {self.path} was answered with {self.status}"
        details = " ".join(part for part in (self.detail_code, self.text) if part)
        if details:
            message += f": {details}"
        if self.tracking_id:
            message += f" (trackingId {self.tracking_id})"
        if self.hint:
            message += f". {self.hint}"
        return message


class BadRequestError(APIError):
    """SailPoint's own 400, and every other 4xx of its own that has no class of its own."""


class TooLongError(BadRequestError):
    """413, 414 or 431: the request is too large for the tenant or for a gateway before it."""


class UnauthorizedError(APIError):
    """SailPoint's own 401 after the token was renewed, or credentials that the token endpoint refused."""


class ForbiddenError(APIError):
    """SailPoint's own 403: the credentials are known, but may not do this."""


class NotFoundError(APIError):
    """SailPoint's own 404: the tenant knows no such task or endpoint."""


class TransientResponseError(APIError):
    """3xx, 408, 425, or a 4xx that isn't SailPoint's own: something on the way answered, for a while."""

    retryable = True


class RateLimitedError(APIError):
    """429: too many requests; ``retry_after`` says how long to wait."""

    retryable = True


class ServerError(APIError):
    """5xx: the tenant, or something before it, has an error."""

    retryable = True


class AggregationRunningError(SailPointError):
    """
    SailPoint answered without a task: nothing was started, because another aggregation of the source runs.

    :param source_id: SailPoint's id of the source
    :param text: SailPoint's words, where the answer has any
    """

    def __init__(self, source_id: str, text: str | None) -> None:
        self.source_id = source_id
        self.text = text
        said = text or "the answer names no task, which means that another aggregation runs"
        super().__init__(f"No aggregation of source {source_id} was started: {said}")


class SourceNotFoundError(SailPointError):
    """
    The tenant has no such source, or the credentials may not see it.

    :param what: the source's id or name, for a person
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"The tenant has no source {what}, or the credentials may not see it")


class SourceNotUniqueError(SailPointError):
    """
    The tenant has several sources of that name; names compare without case.

    :param name: the name
    :param source_ids: their ids
    """

    def __init__(self, name: str, source_ids: Sequence[str]) -> None:
        self.source_ids = tuple(source_ids)
        ids = ", ".join(source_ids)
        super().__init__(f"{len(source_ids)} sources are named {name!r}: give the id of one instead ({ids})")


class UploadError(SailPointError):
    """A file can't be read, or changed while it was sent: the tenant has not got it, or not the whole."""
