"""Who may use the tenant: credentials, the tokens issued for them, and what each may do."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

ALL_SCOPES = "sp:scopes:all"
READ_SCOPE = "idn:task-management:read"
WRITE_SCOPE = "idn:task-management:write"
READ_SOURCES_SCOPE = "idn:sources:read"
MANAGE_SOURCES_SCOPE = "idn:sources:manage"
AGGREGATE_SOURCES_SCOPE = "idn:sources:aggregate"
MANAGE_ENTITLEMENTS_SCOPE = "idn:entitlement:manage"
PERSONAL_ACCESS_TOKEN_LIFETIME = 43_200
MAX_TOKENS = 100_000
"""How many tokens are known, the latest."""
_WRITE_LEVELS = frozenset(
    {
        "ORG_ADMIN",
        "CERT_ADMIN",
        "REPORT_ADMIN",
        "ROLE_ADMIN",
        "ROLE_SUBADMIN",
        "SOURCE_ADMIN",
        "SOURCE_SUBADMIN",
    }
)


@dataclass(frozen=True, slots=True)
class Credential:
    """
    A personal access token, or an API client.

    :param client_id: its public half.
    :param client_secret: its secret half.
    :param user: a user stands behind it, as behind a personal access token; API clients have none.
    :param level: the user's level.
    :param scopes: what it was granted.
    :param expires_in: the lifetime of its tokens in seconds.
    """

    client_id: str
    client_secret: str = field(repr=False)
    user: bool = True
    level: str = "ORG_ADMIN"
    scopes: frozenset[str] = frozenset({ALL_SCOPES})
    expires_in: float = PERSONAL_ACCESS_TOKEN_LIFETIME


@dataclass(frozen=True, slots=True)
class Token:
    """
    An access token.

    :param value: what the client sends.
    :param client_id: whose it is.
    :param expires_at: when it ends, by the tenant's clock.
    :param expires_in: its whole lifetime in seconds.
    """

    value: str = field(repr=False)
    client_id: str
    expires_at: float
    expires_in: float


@dataclass(frozen=True, slots=True)
class Right:
    """
    What an endpoint asks of a caller.

    :param scopes: any of these scopes; no scope at all where there are none.
    :param levels: any of these user levels.
    :param user_required: a credential without a user won't do.
    """

    scopes: frozenset[str]
    levels: frozenset[str]
    user_required: bool = False

    def refusal(self, credential: Credential) -> str | None:
        """
        Return why a caller is refused, ``None`` if he is not.

        :param credential: the caller.
        """
        if self.user_required and not credential.user:
            return "This endpoint requires a user context."
        if credential.user and credential.level not in self.levels:
            return f"The user level {credential.level} has no access to this endpoint."
        if self.scopes and not credential.scopes & self.scopes:
            return f"The token lacks the scope {' or '.join(sorted(self.scopes - {ALL_SCOPES}))}."
        return None


READ_TASKS = Right(frozenset({READ_SCOPE, WRITE_SCOPE, ALL_SCOPES}), _WRITE_LEVELS | {"HELPDESK"})
WRITE_TASKS = Right(frozenset({WRITE_SCOPE, ALL_SCOPES}), _WRITE_LEVELS, user_required=True)
# As the security and the user levels of the OpenAPI files have them: what a user may do, an API client
# without one may do only where they say so.
_SOURCE_LEVELS = frozenset({"ORG_ADMIN", "SOURCE_ADMIN", "SOURCE_SUBADMIN"})
_READ_SOURCES = frozenset({READ_SOURCES_SCOPE, MANAGE_SOURCES_SCOPE, ALL_SCOPES})
_MANAGE_SOURCES = frozenset({MANAGE_SOURCES_SCOPE, ALL_SCOPES})
LIST_SOURCES = Right(_READ_SOURCES, _SOURCE_LEVELS | {"ROLE_SUBADMIN"})
READ_SOURCE = Right(_READ_SOURCES, _SOURCE_LEVELS)
LOAD_ACCOUNTS = Right(_MANAGE_SOURCES, _SOURCE_LEVELS)
LOAD_UNCORRELATED_ACCOUNTS = Right(_MANAGE_SOURCES, frozenset({"ORG_ADMIN"}))
LOAD_ENTITLEMENTS = Right(
    frozenset({MANAGE_ENTITLEMENTS_SCOPE, ALL_SCOPES}), frozenset({"ORG_ADMIN"}), user_required=True
)
AGGREGATE_DATASETS = Right(frozenset({AGGREGATE_SOURCES_SCOPE, ALL_SCOPES}), _SOURCE_LEVELS)
READ_AGGREGATIONS = Right(frozenset(), _SOURCE_LEVELS, user_required=True)


class InvalidClientError(Exception):
    """Unknown client id, or the wrong secret."""


class InvalidTokenError(Exception):
    """A token that was never issued, was revoked, or has expired."""


class Credentials:
    """
    The tenant's credentials and tokens.

    :param lifetime: the lifetime of tokens in seconds, instead of what each credential says.
    """

    def __init__(self, lifetime: float | None = None) -> None:
        self.lifetime = lifetime
        self._credentials: dict[str, Credential] = {}
        self._tokens: dict[str, Token] = {}

    def add(self, credential: Credential) -> None:
        """
        Add a credential, or replace the one with the same client id.

        :param credential: the credential.
        """
        self._credentials[credential.client_id] = credential

    def get(self, client_id: str) -> Credential:
        """
        Return a credential.

        :param client_id: its client id.
        """
        if client_id not in self._credentials:
            raise InvalidClientError(f"There is no credential with the client id {client_id!r}.")
        return self._credentials[client_id]

    def rotate(self, client_id: str, new_secret: str) -> None:
        """
        Replace a secret; tokens that were issued stay valid.

        :param client_id: whose secret.
        :param new_secret: the new one.
        """
        self._credentials[client_id] = replace(self.get(client_id), client_secret=new_secret)

    def issue(self, client_id: str, client_secret: str, now: float) -> Token:
        """
        Return a new token.

        :param client_id: who asks.
        :param client_secret: his secret.
        :param now: the tenant's time.
        """
        credential = self._credentials.get(client_id)
        if credential is None or not secrets.compare_digest(
            credential.client_secret.encode(), client_secret.encode()
        ):
            raise InvalidClientError("Bad client credentials")
        lifetime = credential.expires_in if self.lifetime is None else self.lifetime
        token = Token(secrets.token_urlsafe(48), client_id, now + lifetime, lifetime)
        self._tokens[token.value] = token
        if len(self._tokens) > MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        return token

    def owner(self, value: str) -> str | None:
        """
        Return whose token it is, even if it has expired.

        :param value: the token.
        """
        token = self._tokens.get(value)
        return None if token is None else token.client_id

    def resolve(self, value: str, now: float) -> Credential:
        """
        Return the credential behind a valid token.

        :param value: the token.
        :param now: the tenant's time.
        """
        token = self._tokens.get(value)
        if token is None:
            raise InvalidTokenError("JWT validation failed: JWT is invalid")
        if now >= token.expires_at:
            raise InvalidTokenError("JWT validation failed: JWT is expired")
        return self._credentials[token.client_id]

    def revoke(self, client_id: str | None = None) -> None:
        """
        Revoke tokens.

        :param client_id: whose; those of all clients by default.
        """
        if client_id is None:
            self._tokens.clear()
        else:
            self._tokens = {key: token for key, token in self._tokens.items() if token.client_id != client_id}


def new_credential(
    *,
    client_id: str | None = None,
    client_secret: str | None = None,
    user: bool = True,
    level: str = "ORG_ADMIN",
    scopes: Iterable[str] = (ALL_SCOPES,),
    expires_in: float = PERSONAL_ACCESS_TOKEN_LIFETIME,
) -> Credential:
    """Return a credential as ``Emulator.add_credential`` describes it, with random halves by default."""
    return Credential(
        client_id=client_id or secrets.token_hex(16),
        client_secret=client_secret or secrets.token_hex(32),
        user=user,
        level=level,
        scopes=frozenset(scopes),
        expires_in=expires_in,
    )
