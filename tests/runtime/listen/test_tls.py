"""The settings of a TLS listener: certificates by name, errors that name the option, and subjects as text."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from poolctl.errors import TlsError
from poolctl.runtime.listen.tls import SUBJECT_CHARACTERS, CertificateFiles, server_context, subject


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def signed(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and keys: a, b; a mixed file, a text, and the authority's."""
    found = tmp_path_factory.mktemp("papers")
    for name in ("a", "b"):
        made = authority.issue_cert(f"{name}.example", f"*.{name}.example")
        made.private_key_pem.write_to_path(str(found / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(str(found / f"{name}.pem"))
    (found / "both.pem").write_bytes((found / "a.pem").read_bytes() + (found / "a.key").read_bytes())
    (found / "text.pem").write_text("no PEM")
    torn = (found / "a.pem").read_text().splitlines()
    (found / "torn.pem").write_text("\n".join([torn[0], "AAAA", torn[-1]]))
    authority.cert_pem.write_to_path(str(found / "ca.pem"))
    return found


def identity(folder: Path, certificate: str, key: str = "", password: str = "") -> CertificateFiles:
    return CertificateFiles(str(folder / certificate), str(folder / key) if key else "", password)


def chosen(context: ssl.SSLContext, authority: trustme.CA, name: str) -> list[Any]:
    """The names in the certificate that a client which asks for this one gets."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    authority.configure_trust(trusting)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(up, down, server_side=True)
    client = trusting.wrap_bio(down, up, server_hostname=name)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = client.getpeercert()
    assert certificate is not None
    return [value for _, value in certificate["subjectAltName"]]


@pytest.mark.parametrize(
    ("asked", "gets"),
    [("a.example", "a"), ("b.example", "b"), ("B.Example", "b"), ("x.b.example", "b"), ("x.y.b.example", "a")],
)
def test_the_certificate_is_that_of_the_name(signed: Path, authority: trustme.CA, asked: str, gets: str) -> None:
    names = {name: identity(signed, "b.pem", "b.key") for name in ("b.example", "*.b.example")}
    context = server_context(identity(signed, "a.pem", "a.key"), names)
    assert f"{gets}.example" in chosen(context, authority, asked)


@pytest.mark.parametrize(("required", "mode"), [(True, ssl.CERT_REQUIRED), (False, ssl.CERT_OPTIONAL)])
def test_clients_may_have_to_show_a_certificate(signed: Path, required: bool, mode: ssl.VerifyMode) -> None:
    ca = str(signed / "ca.pem")
    assert server_context(identity(signed, "both.pem"), {}, authority=ca, required=required).verify_mode is mode
    assert server_context(identity(signed, "both.pem"), {}).verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("certificate", "key", "options", "option", "says"),
    [
        ("a.pem", "a.key", {"ciphers": "SECRET"}, "ciphers", 'no cipher is called "SECRET"'),
        ("a.pem", "a.key", {"authority": "text.pem"}, "authority", "has no certificates of an authority"),
        ("a.pem", "b.key", {}, "key", "the key does not belong to the certificate"),
        ("a.key", "a.pem", {}, "certificate", "swap the two"),
        ("text.pem", "a.key", {}, "certificate", "has no certificate"),
        ("a.pem", "", {}, "certificate", "but no private key"),
        ("a.pem", "text.pem", {}, "key", "has no private key"),
        ("torn.pem", "a.key", {}, "certificate", "torn.pem is damaged"),
        ("a.pem", "missing.key", {}, "key", "No such file or directory"),
    ],
)
def test_what_cannot_be_used_names_the_option(
    signed: Path, certificate: str, key: str, options: dict[str, str], option: str, says: str
) -> None:
    if "authority" in options:
        options = {"authority": str(signed / options["authority"])}
    with pytest.raises(TlsError, match=says) as raised:
        server_context(identity(signed, certificate, key), {}, **options)  # type: ignore[arg-type]
    assert raised.value.option == option


def test_what_cannot_be_used_of_another_name_names_it(signed: Path) -> None:
    with pytest.raises(TlsError) as raised:
        server_context(identity(signed, "both.pem"), {"b.example": identity(signed, "text.pem")})
    assert raised.value.name == "b.example"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        ([[("commonName", "Ada")]], "CN=Ada"),
        ([[("countryName", "GB")], [("commonName", "Ada")]], "CN=Ada,C=GB"),
        ([[("commonName", "Ada"), ("userId", "7")]], "CN=Ada+UID=7"),
        ([[("commonName", 'Shop, "Ltd." <x>; a+b\\')]], 'CN=Shop\\, \\"Ltd.\\" \\<x\\>\\; a\\+b\\\\'),
        ([[("commonName", "#1")]], "CN=\\#1"),
        ([[("commonName", " Ada ")]], "CN=\\ Ada\\ "),
        ([[("commonName", "a\r\nb")]], "CN=a\\0d\\0ab"),
        ([[("emailAddress", "a@b")]], "emailAddress=a@b"),
    ],
)
def test_a_subject_is_text_of_rfc_4514(names: Any, text: str) -> None:
    assert subject({"subject": names}) == text


def test_without_a_certificate_the_subject_is_empty() -> None:
    assert subject(None) == ""


def test_a_subject_that_is_too_long_is_refused_and_not_cut() -> None:
    longest = "x" * (SUBJECT_CHARACTERS - len("CN="))
    assert len(subject({"subject": [[("commonName", longest)]]})) == SUBJECT_CHARACTERS
    with pytest.raises(ValueError, match="longer than 1024 characters"):
        subject({"subject": [[("commonName", longest + "x")]]})
