"""TLS of the MQTT sink: who is trusted, who is let in, and what is said when not."""

from __future__ import annotations

import subprocess

import pytest

from gateway.model.faults import AuthFault, ConfigFault, LinkLost
from gateway.sdk.sink import Message
from tests.mosquitto import Mosquitto
from tests.sinks.authority import Authority
from tests.sinks.connecting import deliver, fault_of, sink


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "test authority")


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory, authority):
    cert, key = authority.issue("broker", "DNS:localhost")
    folder = tmp_path_factory.mktemp("tls")
    users = folder / "users"
    subprocess.run(["mosquitto_passwd", "-c", "-b", users, "plant", "s3cret"], check=True, capture_output=True)
    users.chmod(0o644)
    lines = (f"certfile {cert}", f"keyfile {key}", f"cafile {authority.cert}", "require_certificate true",
             "allow_anonymous false", f"password_file {users}")  # fmt: skip
    with Mosquitto(folder, *lines) as broker:
        yield broker


def mutual(authority, name="client", **more) -> dict:
    cert, key = authority.issue(name, "DNS:client")
    return {
        "tls": {"ca": authority.cert, "cert": cert, "key": key},
        "username": "plant",
        "password": "s3cret",
        "host": "localhost",
    } | more


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_mutual_tls_with_user_and_password(tls_broker, authority, protocol):
    deliver(sink(tls_broker.port, **mutual(authority, protocol=protocol)), Message("a", b"x" * 300_000))


def test_relative_paths_and_encrypted_key(tls_broker, authority):
    cert, key = authority.issue("locked", "DNS:client", password="open sesame")
    tls = {"ca": "ca.crt", "cert": cert.name, "key": key.name, "key_password": "open sesame"}
    deliver(sink(tls_broker.port, authority.folder, **mutual(authority, tls=tls)))
    for wrong in ("close sesame", None):
        fault = fault_of(
            sink(tls_broker.port, authority.folder, **mutual(authority, tls=tls | {"key_password": wrong}))
        )
        assert isinstance(fault, ConfigFault)
        assert fault.code == "tls_files"
        assert "locked" in str(fault)


def test_wrong_password_over_tls(tls_broker, authority):
    fault = fault_of(sink(tls_broker.port, **mutual(authority, password="guess")))
    assert isinstance(fault, AuthFault)
    assert fault.code == "auth_refused"
    assert "guess" not in str(fault)


def test_broker_that_is_not_trusted(tls_broker, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    given = mutual(authority)
    fault = fault_of(sink(tls_broker.port, **given | {"tls": given["tls"] | {"ca": stranger.cert}}))
    assert (type(fault), fault.code) == (AuthFault, "tls_untrusted")


def test_system_authorities_do_not_trust_it_either(tls_broker, authority):
    given = mutual(authority)
    fault = fault_of(sink(tls_broker.port, **given | {"tls": {key: given["tls"][key] for key in ("cert", "key")}}))
    assert fault.code == "tls_untrusted"


def test_broker_with_another_name(tls_broker, authority):
    fault = fault_of(sink(tls_broker.port, **mutual(authority, host="127.0.0.1")))
    assert (type(fault), fault.code) == (AuthFault, "tls_hostname")
    given = mutual(authority, host="127.0.0.1")
    deliver(sink(tls_broker.port, **given | {"tls": given["tls"] | {"server_name": "localhost"}}))
    deliver(sink(tls_broker.port, **given | {"tls": given["tls"] | {"verify": False}}))
    fault = fault_of(sink(tls_broker.port, **given | {"tls": given["tls"] | {"server_name": "elsewhere"}}))
    assert fault.code == "tls_hostname"


def test_broker_whose_certificate_has_expired(authority, tmp_path):
    cert, key = authority.issue("old", "DNS:localhost", days=-1)
    with Mosquitto(tmp_path, "allow_anonymous true", f"certfile {cert}", f"keyfile {key}") as broker:
        fault = fault_of(sink(broker.port, host="localhost", tls={"ca": authority.cert}))
    assert (type(fault), fault.code) == (AuthFault, "tls_expired")


def test_broker_that_wants_a_certificate_we_do_not_have(tls_broker, authority):
    given = mutual(authority)
    fault = fault_of(sink(tls_broker.port, **given | {"tls": {"ca": authority.cert}}))
    assert isinstance(fault, LinkLost)
    assert "certificate required" in str(fault).lower().replace("_", " ")


def test_plain_against_tls_and_tls_against_plain(tls_broker, authority, tmp_path):
    assert isinstance(fault_of(sink(tls_broker.port)), LinkLost)
    with Mosquitto(tmp_path) as broker:
        fault = fault_of(sink(broker.port, host="localhost", tls={"ca": authority.cert}))
    assert isinstance(fault, LinkLost)


@pytest.mark.parametrize("name", ["ca", "cert"])
def test_files_that_are_missing_or_no_certificates(tls_broker, authority, tmp_path, name):
    given = mutual(authority)
    for path in (tmp_path / "not there.pem", tmp_path / "empty.pem"):
        fault = fault_of(sink(tls_broker.port, **given | {"tls": given["tls"] | {name: path}}))
        assert (type(fault), fault.code) == (ConfigFault, "tls_files")
        assert path.name in str(fault)
        (tmp_path / "empty.pem").write_text("hello")
