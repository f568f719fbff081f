"""Certificates: ours, those of servers, and the command that approves one."""

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from adapters.opcua import adapter, trust
from adapters.opcua.simulator import Simulator
from adapters.opcua.tests.conftest import until
from adapters.opcua.trust import KEPT, Pki, described, thumbprint
from gateway.cli.app import app
from gateway.sdk import AuthFault, ConfigFault, LinkLost

KEY = rsa.generate_private_key(65_537, 2048)
NOW = datetime.now(UTC)


def certificate(name, *, issuer=None, begins=-1, ends=10, authority=False):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer or name)])
    builder = x509.CertificateBuilder(by, subject, KEY.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW + timedelta(days=begins)).not_valid_after(NOW + timedelta(days=ends))
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.fixture
def pki(tmp_path):
    return Pki(tmp_path / "pki", "urn:test")


def test_our_own_is_made_once_and_kept_private(pki):
    der, key = pki.own()
    assert pki.own()[0] == der
    assert key.key_size == 2048
    made = x509.load_der_x509_certificate(der)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:test"]
    assert stat.S_IMODE((pki.folder / "own/key.pem").stat().st_mode) == 0o600
    assert [one.state for one in pki.listed()] == ["own"]


@pytest.mark.parametrize("damage", ["key gone", "foreign key", "garbage", "folder"])
def test_our_own_when_it_is_damaged(pki, damage):
    pki.own()
    key = pki.folder / "own/key.pem"
    if damage == "key gone":
        key.unlink()
    elif damage == "garbage":
        key.write_bytes(b"x")
    elif damage == "foreign key":
        key.write_bytes(
            KEY.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    else:
        pki = Pki(pki.folder / "own/key.pem", "urn:test")
    with pytest.raises(ConfigFault) as raised:
        pki.own()
    assert raised.value.code == "certificate_files"


def test_an_unknown_server_is_refused_until_it_is_approved(pki):
    der = certificate("press")
    for _ in range(2):
        with pytest.raises(AuthFault, match=thumbprint(der)) as raised:
            pki.check(der, "here")
        assert raised.value.code == "certificate_not_trusted"
    assert [one.state for one in pki.listed()] == ["refused"]
    for wrong in ("", "1234567", "ffffffffffff"):
        with pytest.raises(ConfigFault):
            pki.approve(wrong)
    pki.approve(":".join(thumbprint(der).upper()[at : at + 2] for at in range(0, 20, 2)))
    pki.check(der, "here")
    assert [one.state for one in pki.listed()] == ["trusted"]
    other = certificate("press")
    with pytest.raises(AuthFault):
        pki.check(other, "here")


def test_an_authority_is_trusted_with_all_it_signed(pki):
    authority, plain = certificate("plant", authority=True), certificate("nobody")
    (pki.folder / "trusted").mkdir(parents=True)
    (pki.folder / "trusted/plant.der").write_bytes(authority)
    (pki.folder / "trusted/nobody.der").write_bytes(plain)
    (pki.folder / "trusted/broken.der").write_bytes(b"x")
    pki.check(certificate("press", issuer="plant"), "here")
    for der in (certificate("press", issuer="nobody"), certificate("press", issuer="other")):
        with pytest.raises(AuthFault):
            pki.check(der, "here")
    assert {one.subject for one in pki.listed()} >= {"CN=plant", "not readable"}


@pytest.mark.parametrize(("begins", "ends"), [(-10, -1), (1, 10)])
def test_a_certificate_out_of_its_time(pki, begins, ends):
    der = certificate("press", begins=begins, ends=ends)
    (pki.folder / "trusted").mkdir(parents=True)
    (pki.folder / "trusted/press.der").write_bytes(der)
    with pytest.raises(AuthFault) as raised:
        pki.check(der, "here")
    assert raised.value.code == "certificate_expired"


def test_garbage_for_a_certificate(pki):
    with pytest.raises(AuthFault) as raised:
        pki.check(b"\x30\x82garbage", "here")
    assert raised.value.code == "certificate_invalid"


def test_refused_ones_are_bounded(pki):
    for number in range(KEPT + 3):
        pki.keep(b"%d" % number)
    assert len(list(pki.listed())) == KEPT
    assert described(b"x", "refused").subject == "not readable"


def test_the_command(run, kit, tmp_path):
    """Unknown, listed, approved, connected: over a real secure channel, to our own simulator."""
    settings = {
        "adapter": "opcua", "url": "", "policy": "basic256sha256", "pki": str(tmp_path / "pki"), "timeout": "2s",
    }  # fmt: skip

    async def work():
        async with Simulator(pki=tmp_path / "sim") as sim:
            settings["url"] = sim.url
            (tmp_path / "plant.yaml").write_text(
                json.dumps({"gateway": {"id": "g"}, "connections": {"plant": settings}, "devices": {}, "lanes": {}})
            )
            made = adapter(kit.connection(**{name: value for name, value in settings.items() if name != "adapter"}))
            probed = await made.probe(kit.device())
            assert probed.outcome == "auth"

            def command(*more):
                return CliRunner().invoke(app, ["trust", str(tmp_path / "plant.yaml"), *more])

            assert (await asyncio.to_thread(command, "nobody")).exit_code != 0
            listed = json.loads((await asyncio.to_thread(command, "plant", "--json")).output)
            refused = next(one for one in listed if one["state"] == "refused")
            approved = await asyncio.to_thread(command, "--approve", refused["thumbprint"][:10])
            assert (approved.exit_code, "trusted: " in approved.output) == (0, True)
            probed = await made.probe(kit.device())
            assert probed.outcome == "ok"
            tag = kit.tag("a", address="ns=1;s=a")
            sim.device(kit.device()).set(tag, 1.5)
            feed = kit.feed(made, [tag])
            async with kit.subscribed(made, feed):
                await until(lambda: feed.last("a") == 1.5)

    run(work)


def test_trust_without_security_lists_only(run, kit, tmp_path):
    async def work():
        assert await trust(kit.connection(pki=str(tmp_path))) == []

    run(work)


def test_trust_when_nobody_is_there(run, kit, tmp_path):
    async def work():
        with pytest.raises(LinkLost):
            await trust(kit.connection("opc.tcp://127.0.0.1:1", policy="basic256sha256", pki=str(tmp_path)))

    run(work)
