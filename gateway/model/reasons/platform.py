"""Codes of what stands between the gateway and a platform."""

from __future__ import annotations

from typing import Final

from gateway.model.reasons.reason import Reason

PLATFORM: Final[dict[str, Reason]] = {
    "auth_refused": Reason(
        "The peer refuses our user, password or certificate",
        "Check user, password and certificate, and what the account may do; tries are few, so that it is not locked.",
        "对端拒绝用户名、密码或证书",
        "检查用户名、密码、证书及账号权限；为避免锁定，重试次数很少。",
    ),
    "tls_untrusted": Reason(
        "The server's certificate is not signed by an authority that we trust",
        "Give the authority's certificate in tls.ca; check this box's clock; an expired certificate must be renewed.",
        "服务器证书不受信任",
        "在 tls.ca 中填写 CA 证书；检查本机时钟；过期证书需更新。",
    ),
    "tls_hostname": Reason(
        "The server's certificate is for another host name",
        "Connect by the name that the certificate carries, or have one made for this name.",
        "服务器证书的主机名不符",
        "使用证书中的主机名连接，或为该名称重新签发证书。",
    ),
    "tls_failed": Reason(
        "TLS could not be agreed upon",
        "Check that the port speaks TLS, that versions fit, and that a client certificate is given if one is wanted.",
        "TLS 握手失败",
        "确认端口支持 TLS、版本兼容，并在需要时提供客户端证书。",
    ),
    "rejected_by_platform": Reason(
        "The platform will never take this message",
        "Check access rights on the topic and the largest message it takes; `xingsha deadletters` keeps the message.",
        "平台永久拒收该消息",
        "检查主题权限和最大消息限制；消息保存在 `xingsha deadletters` 中。",
    ),
    "payload_too_large": Reason(
        "The message is larger than the platform takes, and cannot be split further",
        "Raise the broker's largest packet size, or put fewer tags into one poll group.",
        "消息超过平台上限且无法再拆分",
        "加大消息服务器的最大包限制，或减少每组点数。",
    ),
    "identity_taken": Reason(
        "Another client with the same identity took over the connection",
        "Two gateways use one gateway id or client id: give each its own.",
        "相同身份的客户端抢占了连接",
        "两个网关使用了相同的网关 id 或客户端 id：请分别设置。",
    ),
}
