"""Forms with files (``multipart/form-data``), made while they are sent: no file is ever held in memory."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from airflow_provider_sptasks.client.errors import UploadError

CHUNK = 64 * 1024


class Upload:
    """
    An open CSV file, which can be sent any number of times.

    :param path: where it is
    :raises UploadError: it can't be read, is no regular file, or is empty
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        try:
            if not stat.S_ISREG(self._path.stat().st_mode):  # opening a named pipe would wait for its writer
                raise UploadError(f"File {str(path)!r} is not a regular file")
            self._stream = self._path.open("rb")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UploadError(f"File {str(path)!r} can't be read: {reason}") from error
        self._seen = self._state()
        self.size = self._seen[0]
        if not self.size:
            self.close()
            raise UploadError(f"File {str(path)!r} is empty")

    @property
    def name(self) -> str:
        """The file's name, without its folders and percent-encoded: it may hold quotes and line ends."""
        return quote(os.fsencode(self._path.name), safe=" ()")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        """
        Read the file from its start.

        :raises UploadError: it can't be read any more, or has changed since it was opened
        """
        left = self.size
        try:
            self._stream.seek(0)
            while left:
                chunk = self._stream.read(min(CHUNK, left))
                left -= len(chunk)
                if not chunk or (not left and self._state() != self._seen):
                    raise UploadError(f"File {str(self._path)!r} changed while it was sent")
                yield chunk
        except OSError as error:
            raise UploadError(f"File {str(self._path)!r} can't be read: {error.strerror}") from error

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._stream.fileno())
        return status.st_size, status.st_mtime_ns


class Form:
    """
    A form that can be sent any number of times.

    :param fields: values by name
    :param files: CSV files by name; ``None`` for a part without a file, as a browser sends it
    """

    def __init__(self, fields: Mapping[str, str], files: Mapping[str, Upload | None]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts: list[tuple[bytes, Upload | None]] = [
            (self._head(f'name="{name}"') + value.encode(), None) for name, value in fields.items()
        ]
        for name, file in files.items():
            kind = "application/octet-stream" if file is None else "text/csv"
            filename = "" if file is None else file.name
            self._parts.append((self._head(f'name="{name}"; filename="{filename}"', kind), file))

    @property
    def content_type(self) -> str:
        """The media type, with what marks the end of a part."""
        return f"multipart/form-data; boundary={self._boundary}"

    def sending(self, check: Callable[[], None] = lambda: None) -> Sending:
        """
        Return the form for sending it once.

        :param check: called before each piece; the form stays incomplete if it raises
        """
        return Sending(self._parts, f"\r\n--{self._boundary}--\r\n".encode(), check)

    def _head(self, disposition: str, content_type: str | None = None) -> bytes:
        kind = f"\r\nContent-Type: {content_type}" if content_type else ""
        return f"--{self._boundary}\r\nContent-Disposition: form-data; {disposition}{kind}\r\n\r\n".encode()


class Sending:
    """
    A form on its way, in pieces.

    :param parts: what precedes each file, or is a part of its own, and the file
    :param end: what ends the form
    :param check: called before each piece
    """

    def __init__(
        self, parts: list[tuple[bytes, Upload | None]], end: bytes, check: Callable[[], None]
    ) -> None:
        self._parts = parts
        self._end = end
        self._check = check
        self.complete = False
        """Whether its end was handed over: without it the tenant can't have acted on the form."""

    def __len__(self) -> int:
        between = 2 * (len(self._parts) - 1)
        files = sum(file.size for _, file in self._parts if file is not None)
        return sum(len(head) for head, _ in self._parts) + between + files + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces():
            self._check()
            yield piece
        self._check()
        self.complete = True
        yield self._end

    def _pieces(self) -> Iterator[bytes]:
        for number, (head, file) in enumerate(self._parts):
            yield (b"\r\n" if number else b"") + head
            if file is not None:
                yield from file
