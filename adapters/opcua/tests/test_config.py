"""What a configuration may say, and what it may not; plans."""

import pytest
from pydantic import ValidationError

from adapters.opcua import adapter
from adapters.opcua.plan import PROFILES, SILENCE, queue, sampling
from gateway.config.base import Access
from gateway.sdk import ConfigFault


def test_security_is_on_unless_told_otherwise(kit):
    made = type(kit.connection()).model_validate({"adapter": "opcua", "url": "opc.tcp://10.0.0.5"})
    assert made.secure
    assert (made.policy, made.mode, made.address) == ("basic256sha256", "sign_and_encrypt", ("10.0.0.5", 4840))
    assert made.full_url == "opc.tcp://10.0.0.5:4840"
    assert kit.connection("opc.tcp://[::1]:4841/path").full_url == "opc.tcp://[::1]:4841/path"


def test_secrets_are_not_shown(kit):
    made = kit.connection(user="operator", password="hunter2")
    assert "hunter2" not in repr(made)
    assert "hunter2" not in made.model_dump_json()
    assert made.endpoint == "opc.tcp://127.0.0.1:4840 operator"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"url": "http://x"}, "opc.tcp://"), ({"url": "opc.tcp://"}, "opc.tcp://"), ({"url": "opc.tcp://a:99999"}, "opc.tcp://"),
        ({"url": "opc.tcp://me:pw@host"}, "no user name"), ({"password": "x"}, "password needs user"),
        ({"user_certificate": "a.pem"}, "belong together"),
        ({"user": "a", "user_certificate": "a.pem", "user_key": "k.pem"}, "either user"),
        ({"policy": "basic256"}, "policy"), ({"max_nodes": 0}, "max_nodes"), ({"application_uri": "a b"}, "application_uri"),
        ({"endpoint_url": "x"}, "endpoint_url"),
    ],
)  # fmt: skip
def test_connections_that_are_refused(kit, wrong, why):
    with pytest.raises(ValidationError, match=why):
        kit.connection(**wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"address": "x"}, "node id"), ({"index": "a"}, "index"), ({"server_deadband": 1, "kind": "string"}, "numeric"),
        ({"queue": 0}, "queue"),
    ],
)  # fmt: skip
def test_tags_that_are_refused(kit, wrong, why):
    with pytest.raises(ValidationError, match=why):
        kit.tag("a", **wrong)


def test_a_root_that_is_no_address(kit):
    with pytest.raises(ValidationError, match="node id"):
        kit.device(root="x")
    assert kit.device(root="/Objects").root == "/Objects"


def test_a_subscription_is_planned(kit):
    made = adapter(kit.connection(keepalive="5s", timeout="2s"))
    device = kit.device(scan="1s", queue=5, sampling="100ms")
    tags = [kit.tag("a", sampling="20ms", queue=7), kit.tag("b", access=Access.READ_WRITE)]
    plan = made.plan(device, tags)
    assert (plan.interval, plan.keepalive, plan.stale, plan.push.silence) == (1.0, 5, SILENCE * 5.0, SILENCE * 5.0 + 4)
    assert plan.push.on_change
    assert [sampling(device, tag) for tag in tags] == [20.0, 100.0]
    assert [queue(device, tag) for tag in tags] == [7, 5]
    assert sampling(kit.device(), kit.tag("a")) == -1.0
    slow = made.plan(kit.device(scan="1min"), [kit.tag("a")])
    assert (slow.keepalive, slow.stale) == (1, SILENCE * 60.0)
    fast = made.plan(kit.device(scan=0), [kit.tag("a")])
    assert fast.keepalive == 100


def test_a_poll_is_planned_in_few_requests_whatever_the_order(kit):
    made = adapter(kit.connection(delivery="poll", max_nodes=100))
    tags = [kit.tag(f"t{at}") for at in range(250)]
    for order in (tags, tags[::-1]):
        plan = made.plan(kit.device(), order)
        assert [len(request.tags) for request in plan.requests] == [100, 100, 50]
        assert sorted(place for request in plan.requests for place in request.tags) == list(range(250))
        assert plan.push is None
        assert plan.wire_bytes > 0
    with pytest.raises(ConfigFault, match="sampling"):
        made.plan(kit.device(sampling="1s"), tags)


def test_profiles_have_a_source():
    assert len(PROFILES) >= 3
    for bounds in PROFILES.values():
        assert len(bounds.source) > 20
        assert bounds.lowered(3).read == 3


def test_files_of_user_certificates_that_are_missing(kit, run):
    async def work():
        made = adapter(kit.connection(user_certificate="/none.pem", user_key="/none.key"))
        probed = await made.probe(kit.device())
        assert probed.outcome == "refused"
        assert "/none.pem" in probed.detail

    run(work)
