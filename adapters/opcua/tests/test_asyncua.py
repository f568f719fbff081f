"""What is relied on inside asyncua: when one of these fails, look at client.py before anything else."""

import asyncio
import inspect

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer

from adapters.opcua.client import SessionClient, Socket


def names(function):
    return list(inspect.signature(function).parameters)


def test_the_socket():
    assert names(UASocketProtocol.__init__)[:4] == ["self", "timeout", "security_policy", "limits"]
    assert names(UASocketProtocol._send_request)[:3] == ["self", "request", "timeout"]
    for method in ("_fail_all_pending", "_process_received_message", "_call_callback", "revolve_security_token"):
        assert callable(getattr(UASocketProtocol, method)), method

    async def made():
        socket = Socket("here", 1.0, __import__("asyncua").crypto.security_policies.SecurityPolicyNone())
        held = {
            "_callbackmap",
            "_request_id",
            "_request_handle",
            "_connection",
            "_open_secure_channel_exchange",
            "transport",
        }
        assert held <= vars(socket).keys()
        assert {"_incoming_size", "_limits"} <= vars(socket._connection).keys()
        await socket.close()

    asyncio.run(made())


def test_the_connection():
    assert names(SecureConnection.receive_from_header_and_body) == ["self", "header", "body"]
    assert names(SecureConnection.message_to_binary) == ["self", "message", "message_type", "request_id"]
    assert names(SecureConnection.set_channel) == ["self", "params", "request_type", "client_nonce"]
    assert list(TransportLimits.__dataclass_fields__) == [
        "max_recv_buffer", "max_send_buffer", "max_chunk_count", "max_message_size",
    ]  # fmt: skip
    assert Buffer(b"abc").copy().read(3) == b"abc"


def test_the_client(kit):
    async def made():
        client = SessionClient(kit.connection())
        held = {
            "_server_nonce",
            "_policy_ids",
            "_renew_channel_task",
            "security_policy",
            "user_certificate",
            "session_timeout",
        }
        assert held <= vars(client).keys()
        assert client._supervisor_task is client._stale_watchdog_task is None
        assert client.uaclient is client.transport
        assert client.uaclient.pre_request_hook is None

    asyncio.run(made())
    for method in (
        "connect_socket", "send_hello", "open_secure_channel", "create_session", "activate_session", "get_endpoints",
        "_start_renew_loop", "_cancel_task", "server_policy", "close_secure_channel",
    ):  # fmt: skip
        assert callable(getattr(Client, method)), method
    assert "_make_protocol" in vars(UaClient)
    assert names(UaClient.close_session) == ["self", "delete_subscriptions"]


def test_the_node_set_ids():
    from asyncua.ua import ObjectIds

    from adapters.opcua import resolve, services

    for kind, name in (
        (services.READ, "Read"), (services.WRITE, "Write"), (services.CREATE_ITEMS, "CreateMonitoredItems"),
        (services.PUBLISH, "Publish"), (services.REPUBLISH, "Republish"), (services.HISTORY_READ, "HistoryRead"),
    ):  # fmt: skip
        assert getattr(ObjectIds, f"{name}Request_Encoding_DefaultBinary") == kind
        assert getattr(ObjectIds, f"{name}Response_Encoding_DefaultBinary") == kind + 3
    limits = {
        "read": "MaxNodesPerRead", "history": "MaxNodesPerHistoryReadData", "write": "MaxNodesPerWrite",
        "browse": "MaxNodesPerBrowse", "paths": "MaxNodesPerTranslateBrowsePathsToNodeIds",
        "items": "MaxMonitoredItemsPerCall",
    }  # fmt: skip
    for field, name in limits.items():
        assert (
            getattr(ObjectIds, f"Server_ServerCapabilities_OperationLimits_{name}") == resolve.OPERATION_LIMITS[field]
        )
    assert ObjectIds.Server_NamespaceArray == resolve.NAMESPACES
    assert ua.NodeId(1, 2).NamespaceIndex == 2
