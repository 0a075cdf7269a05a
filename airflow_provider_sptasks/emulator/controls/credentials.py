"""What a test does with the credentials of the tenant, and with tokens."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_sptasks.emulator.credentials import (
    ALL_SCOPES,
    PERSONAL_ACCESS_TOKEN_LIFETIME,
    Credential,
    new_credential,
)
from airflow_provider_sptasks.emulator.state import State


class CredentialControls:
    """Adds credentials, replaces secrets, revokes tokens."""

    _state: State

    @property
    def token_lifetime(self) -> float:
        """How long tokens issued from now on are valid, in seconds."""
        with self._state.lock:
            lifetime = self._state.tenant.credentials.lifetime
            return PERSONAL_ACCESS_TOKEN_LIFETIME if lifetime is None else lifetime

    @token_lifetime.setter
    def token_lifetime(self, seconds: float) -> None:
        with self._state.lock:
            self._state.tenant.credentials.lifetime = seconds

    def add_credential(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        user: bool = True,
        level: str = "ORG_ADMIN",
        scopes: Iterable[str] = (ALL_SCOPES,),
        expires_in: float = PERSONAL_ACCESS_TOKEN_LIFETIME,
    ) -> Credential:
        """
        Add a credential.

        :param client_id: random by default.
        :param client_secret: random by default.
        :param user: a personal access token, which has a user; ``False`` for an API client.
        :param level: the user's level, such as ``HELPDESK``.
        :param scopes: what it is granted.
        :param expires_in: the lifetime of its tokens in seconds.
        :return: the credential.
        """
        credential = new_credential(
            client_id=client_id,
            client_secret=client_secret,
            user=user,
            level=level,
            scopes=scopes,
            expires_in=expires_in,
        )
        with self._state.lock:
            self._state.tenant.credentials.add(credential)
        return credential

    def rotate_secret(self, client_id: str, new_secret: str) -> None:
        """
        Replace a secret; tokens that were issued stay valid.

        :param client_id: whose secret.
        :param new_secret: the new one.
        """
        with self._state.lock:
            self._state.tenant.credentials.rotate(client_id, new_secret)

    def revoke_tokens(self, client_id: str | None = None) -> None:
        """
        Revoke tokens.

        :param client_id: whose; those of all clients by default.
        """
        with self._state.lock:
            self._state.tenant.credentials.revoke(client_id)
