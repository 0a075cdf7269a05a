"""Secrets in each form in which an answer or a log may show them, and what is left of a text without them."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "***"
# Shorter ones would be found by chance where there are none. SailPoint's have some 40 characters and more.
MIN_LENGTH = 8


def spellings(secret: str) -> frozenset[str]:
    """
    Return a secret as it is, percent-encoded, escaped as in JSON, Python and HTML, and in base64.

    :param secret: any string that can be encoded
    """
    percent = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    # With another quotation mark in the string, Python escapes what it else would not.
    python = {each(secret)[1:-1] for each in (repr, ascii)} | {
        each(f'{secret}"')[1:-2] for each in (repr, ascii)
    }
    return frozenset(
        {
            secret,
            *percent,
            *(re.sub("%..", lambda match: match[0].lower(), each) for each in percent),
            *escaped,
            *(each.replace("/", "\\/") for each in escaped),
            *python,
            repr(secret.encode())[2:-1],
            html.escape(secret),
            html.escape(secret, quote=False),
            b64encode(secret.encode()).decode(),
        }
    )


def basic_credentials(user: str, password: str) -> set[str]:
    """
    Return what ``Authorization: Basic`` would show of a user and a password.

    :param user: the user
    :param password: the password
    """
    # `requests` encodes in Latin-1 where that can be.
    encodings = {f"{user}:{password}".encode(each, "replace") for each in ("latin-1", "utf-8")}
    return {b64encode(each).decode() for each in encodings}


class Redactor:
    """
    Takes secrets out of texts, in each of their spellings.

    :param secrets: what must not be seen; what has fewer than 8 characters is passed over
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for each in secrets if len(each) >= MIN_LENGTH for form in spellings(each)}
        # The longest first, since one may be a part of another.
        self._forms = sorted((form.encode() for form in forms), key=len, reverse=True)

    def clean(self, data: bytes) -> bytes:
        """
        Return data without the secrets; the very same where there are none.

        :param data: a text in UTF-8
        """
        for form in self._forms:
            if form in data:
                data = data.replace(form, REDACTED.encode())
        return data

    def clean_text(self, text: str) -> str:
        """
        Return a text without the secrets.

        :param text: any string
        """
        return self.clean(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")

    def clean_json(self, data: bytes) -> bytes:
        """
        Return data without the secrets, which may be spelled once more within the strings of JSON.

        :param data: JSON, or any other text
        """
        data = self.clean(data)
        try:
            return json.dumps(self._clean_value(json.loads(data))).encode()
        except (ValueError, RecursionError):
            return data

    def _clean_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, list):
            return [self._clean_value(each) for each in value]
        if isinstance(value, dict):
            return {self.clean_text(name): self._clean_value(each) for name, each in value.items()}
        return value
