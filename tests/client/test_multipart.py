"""Forms with files, as they go over the wire."""

from __future__ import annotations

import os
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from airflow_provider_sptasks.client.errors import UploadError
from airflow_provider_sptasks.client.multipart import CHUNK, Form, Upload


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.csv"
    path.write_bytes(b"id,name\n1,Ann\n")
    return path


def sent(form: Form) -> bytes:
    sending = form.sending()
    body = b"".join(sending)
    assert len(sending) == len(body)
    assert sending.complete
    return body


def parts(form: Form) -> list[Message]:
    """Read a form with the standard library's parser."""
    message = message_from_bytes(f"Content-Type: {form.content_type}\r\n\r\n".encode() + sent(form))
    assert not message.defects
    found = message.get_payload()
    assert isinstance(found, list)
    assert all(isinstance(part, Message) for part in found)
    return [part for part in found if isinstance(part, Message)]


class TestForm:
    def test_fields_and_files(self, csv: Path) -> None:
        with Upload(csv) as upload:
            field, file = parts(Form({"disableOptimization": "true"}, {"file": upload}))
        assert field.get_param("name", header="content-disposition") == "disableOptimization"
        assert field.get_filename() is None
        assert field.get_payload(decode=True) == b"true"
        assert file.get_param("name", header="content-disposition") == "file"
        assert file.get_filename() == "accounts.csv"
        assert file.get_content_type() == "text/csv"
        assert file.get_payload(decode=True) == b"id,name\n1,Ann\n"

    def test_a_part_without_a_file(self) -> None:
        (file,) = parts(Form({}, {"file": None}))
        assert file["Content-Disposition"] == 'form-data; name="file"; filename=""'
        assert file.get_payload(decode=True) == b""

    def test_is_the_same_each_time_it_is_sent(self, csv: Path) -> None:
        with Upload(csv) as upload:
            form = Form({"a": "1"}, {"file": upload})
            assert sent(form) == sent(form)

    def test_is_complete_only_with_its_end(self, csv: Path) -> None:
        with Upload(csv) as upload:
            form = Form({}, {"file": upload})
            sending = form.sending()
            pieces = iter(sending)
            assert [sending.complete, next(pieces), next(pieces)][0] is False
            assert not sending.complete
            assert next(pieces).endswith(b"--\r\n")
            assert sending.complete
            assert not form.sending().complete

    @pytest.mark.parametrize(
        ("name", "safe"),
        [
            ("accounts (1).csv", "accounts (1).csv"),
            ('a"b.csv', "a%22b.csv"),
            ("a\r\nX-Evil: 1.csv", "a%0D%0AX-Evil%3A 1.csv"),
            ("größe.csv", "gr%C3%B6%C3%9Fe.csv"),
            ("50%;back\\slash.csv", "50%25%3Bback%5Cslash.csv"),
        ],
    )
    def test_the_name_of_a_file_is_safe_in_a_header(self, tmp_path: Path, name: str, safe: str) -> None:
        (tmp_path / name).write_text("id\n")
        with Upload(tmp_path / name) as upload:
            (file,) = parts(Form({}, {"file": upload}))
        assert file.keys() == ["Content-Disposition", "Content-Type"]
        assert file["Content-Disposition"] == f'form-data; name="file"; filename="{safe}"'


class TestUpload:
    def test_comes_in_pieces(self, csv: Path) -> None:
        csv.write_bytes(b"x" * (2 * CHUNK + 1))
        with Upload(str(csv)) as upload:
            assert [len(piece) for piece in upload] == [CHUNK, CHUNK, 1]

    @pytest.mark.parametrize("prepare", ["missing", "folder", "pipe", "empty", "nul"])
    def test_what_can_not_be_read(self, tmp_path: Path, prepare: str) -> None:
        path = str(tmp_path / "file\n.csv")
        problem = "can't be read: No such file or directory"
        if prepare == "folder":
            Path(path).mkdir()
            problem = "is not a regular file"
        elif prepare == "pipe":
            os.mkfifo(path)
            problem = "is not a regular file"
        elif prepare == "empty":
            Path(path).touch()
            problem = "is empty"
        elif prepare == "nul":
            path += "\0"
            problem = "can't be read: "
        with pytest.raises(UploadError) as raised:
            Upload(path)
        assert str(raised.value).startswith(f"File {path!r} {problem}")
        assert not raised.value.retryable

    @pytest.mark.parametrize("change", ["longer", "shorter", "rewritten"])
    def test_a_file_that_changes_is_not_sent_to_its_end(self, csv: Path, change: str) -> None:
        with Upload(csv) as upload:
            if change == "longer":
                with csv.open("ab") as more:
                    more.write(b"2,Bob\n")
            elif change == "shorter":
                os.truncate(csv, 3)
            else:
                os.utime(csv, (1, 1))
            sending = Form({}, {"file": upload}).sending()
            with pytest.raises(UploadError, match=r"accounts\.csv' changed while it was sent"):
                b"".join(sending)
            assert not sending.complete

    def test_a_file_that_is_replaced_is_sent_as_it_was_opened(self, csv: Path, tmp_path: Path) -> None:
        (tmp_path / "new").write_bytes(b"id,name\n9,Zoe\n")
        with Upload(csv) as upload:
            (tmp_path / "new").replace(csv)
            assert b"".join(upload) == b"id,name\n1,Ann\n"
