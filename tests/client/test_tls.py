"""TLS: who can't prove to be the tenant gets neither the secret nor a second attempt."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_sptasks.client.errors import NotFoundError, TransportError
from tests.client.conftest import Connect, Waits


@dataclass
class Tenant:
    """A server with a certificate that no authority signed, which knows no task."""

    url: str
    certificate: Path
    handshakes: list[bool] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tenant")])
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "tenant.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + signed.public_bytes(encoding))
    return path


@pytest.fixture
def tenant(certificate: Path) -> Iterator[Tenant]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            seen.requests.append(self.command)
            token = b'{"access_token": "abc", "expires_in": 60}'
            status, body = (200, token) if self.command == "POST" else (404, b"")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            pass

    class TLSServer(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            seen.handshakes.append(False)
            try:
                wrapped = context.wrap_socket(request, server_side=True)
            except OSError:
                return
            seen.handshakes[-1] = True
            with wrapped:
                super().finish_request(wrapped, client_address)

    server = TLSServer(("127.0.0.1", 0), Handler)
    seen = Tenant(f"https://127.0.0.1:{server.server_port}", certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_certificate_without_an_authority_is_refused_at_once(
    tenant: Tenant, connect: Connect, waits: Waits
) -> None:
    with pytest.raises(
        TransportError, match=r"got no answer: SSLError: .*certificate verify failed"
    ) as caught:
        connect(host=tenant.url).get("a")
    assert not caught.value.retryable
    assert waits.seconds == []
    assert tenant.handshakes == [False]
    assert tenant.requests == []


def test_a_ca_bundle_of_ones_own(tenant: Tenant, connect: Connect) -> None:
    client = connect(host=tenant.url, verify=str(tenant.certificate))
    with pytest.raises(NotFoundError):
        client.get("a")
    client.close()
    assert tenant.requests == ["POST", "GET"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("bundle", [None, "/does/not/exist.pem"])
def test_without_verification(
    bundle: str | None, tenant: Tenant, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment names a bundle, which ``requests`` prefers to a session's ``verify``."""
    if bundle is not None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    client = connect(host=tenant.url, verify=False)
    with pytest.raises(NotFoundError):
        client.get("a")
    client.close()
    assert tenant.requests == ["POST", "GET"]


def test_plain_http_where_tls_is_expected(tenant: Tenant, connect: Connect, waits: Waits) -> None:
    with pytest.raises(TransportError):
        connect(host=tenant.url.replace("https", "http")).get("a")
    assert tenant.requests == []
