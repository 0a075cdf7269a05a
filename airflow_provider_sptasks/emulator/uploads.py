"""Files that clients upload: read as they come in, counted and hashed, never kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MULTIPART = "multipart/form-data"
_KEPT_TEXT = 1_024
_MAX_BOUNDARY = 256
_MAX_PARTS = 100
# Of a part. python-multipart bounds them itself from 0.0.27 on only.
_MAX_HEADER_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class Upload:
    """
    A file that an aggregation was to be started with.

    :param source_id: the source.
    :param kind: the kind of aggregation, a key of ``KINDS``.
    :param task_id: the task that was started with it, ``None`` if none was because another was running.
    :param filename: what the client called it.
    :param content_type: the type that the client said it is of.
    :param size: its size in bytes.
    :param sha256: its hash, in hexadecimal digits.
    :param rows: how many rows it has as CSV, without the first, which names the columns.
    """

    source_id: str
    kind: str
    task_id: str | None
    filename: str | None
    content_type: str | None
    size: int
    sha256: str
    rows: int


class Part:
    """
    A part of a form.

    :param filename: what its header calls the file.
    :param content_type: the type that its header says.
    """

    def __init__(self, filename: str | None, content_type: str | None) -> None:
        self.filename = filename
        self.content_type = content_type
        self.size = 0
        self._start = b""
        self._hash = hashlib.sha256()
        self._quoted = False
        self._ends = 0
        self._last = b""

    def add(self, data: bytes) -> None:
        """
        Take more of its content.

        :param data: the next bytes.
        """
        if not data:
            return
        self.size += len(data)
        self._hash.update(data)
        if len(self._start) < _KEPT_TEXT:
            self._start += data[: _KEPT_TEXT - len(self._start)]
        for number, stretch in enumerate(data.split(b'"')):
            if number:
                self._quoted = not self._quoted
            if not self._quoted:
                self._ends += stretch.count(b"\n")
        self._last = data[-1:]

    @property
    def text(self) -> str:
        """Its content as a text, of a long one the beginning."""
        return self._start.decode("utf-8", "replace")

    @property
    def sha256(self) -> str:
        """The hash of its content, in hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def rows(self) -> int:
        """How many rows of CSV follow the first."""
        return max(0, self._ends + (self._last not in (b"", b"\n")) - 1)


class Form:
    """
    The form that a request brings as ``multipart/form-data``.

    :param content_type: the request's ``Content-Type``.
    """

    def __init__(self, content_type: str = "") -> None:
        self.parts: dict[str, Part] = {}
        self._problem: str | None = None
        self._began = False
        self._complete = False
        self._headers: dict[str, bytes] = {}
        self._header_bytes = 0
        self._name = b""
        self._value = b""
        self._part: Part | None = None
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        self._parser: MultipartParser | None = None
        if len(boundary) > _MAX_BOUNDARY:
            self._problem = f"The boundary is longer than {_MAX_BOUNDARY} bytes."
        elif boundary:
            self._parser = MultipartParser(boundary, self._callbacks())

    @property
    def problem(self) -> str | None:
        """What is wrong with it, once it has been read; ``None`` if nothing is."""
        if self._problem is None and self._began and not self._complete:
            return "The form ends before its last boundary."
        return self._problem

    def add(self, data: bytes) -> None:
        """
        Take more of the request's body.

        :param data: the next bytes.
        """
        if not data:
            return
        self._began = True
        if self._parser is None:
            self._problem = self._problem or "The Content-Type names no boundary."
        elif self._problem is None and not self._complete:
            try:
                self._parser.write(data)
            except FormParserError as error:
                self._problem = f"The form can't be read: {error}"

    def add_field(self, name: str, value: str) -> None:
        """
        Take a field that came in another way.

        :param name: its name.
        :param value: its value.
        """
        part = self.parts[name] = Part(None, None)
        part.add(value.encode())

    def summary(self) -> str:
        """Return what it consists of, a line for each part, without the contents."""
        return "\n".join(
            f"{name!r}: {part.size} bytes"
            + (f", file {part.filename!r}" if part.filename is not None else "")
            + (f", {part.content_type}" if part.content_type is not None else "")
            for name, part in self.parts.items()
        )

    def _callbacks(self) -> MultipartCallbacks:
        def began() -> None:
            self._headers = {}
            self._header_bytes = 0

        def count(size: int) -> None:
            self._header_bytes += size
            if self._header_bytes > _MAX_HEADER_BYTES:
                raise FormParserError(f"the headers of a part are longer than {_MAX_HEADER_BYTES} bytes")

        def named(data: bytes, start: int, end: int) -> None:
            count(end - start)
            self._name += data[start:end]

        def valued(data: bytes, start: int, end: int) -> None:
            count(end - start)
            self._value += data[start:end]

        def header() -> None:
            self._headers[self._name.decode("latin-1").lower()] = self._value
            self._name = self._value = b""

        def content(data: bytes, start: int, end: int) -> None:
            if self._part is not None:
                self._part.add(data[start:end])

        def ended() -> None:
            self._complete = True

        return {
            "on_part_begin": began,
            "on_header_field": named,
            "on_header_value": valued,
            "on_header_end": header,
            "on_headers_finished": self._open,
            "on_part_data": content,
            "on_end": ended,
        }

    def _open(self) -> None:
        """Begin a part, whose headers are complete."""
        options = parse_options_header(self._headers.get("content-disposition"))[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        content_type = self._headers.get("content-type")
        self._part = Part(
            None if filename is None else filename.decode("utf-8", "replace"),
            None if content_type is None else content_type.decode("latin-1"),
        )
        if not name or name in self.parts:
            self._problem = "A part of the form has no name, or that of an earlier one."
        elif len(self.parts) >= _MAX_PARTS:
            self._problem = f"The form has more than {_MAX_PARTS} parts."
            return
        self.parts[name] = self._part
