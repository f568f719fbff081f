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
    "connect_refused": Reason(
        "The platform refuses the connection",
        "Check host and port, that the broker runs, and its log; a firewall may reject it.",
        "平台拒绝连接",
        "核对主机和端口，确认消息服务器已运行并查看其日志；检查防火墙。",
    ),
    "tls_not_yet_valid": Reason(
        "The server's certificate is not valid yet",
        "Set this box's clock: it most likely stands in the past.",
        "服务器证书尚未生效",
        "校准本机时钟：很可能时间落后。",
    ),
    "tls_expired": Reason(
        "The server's certificate has expired",
        "Have it renewed on the server; check this box's clock.",
        "服务器证书已过期",
        "在服务器上更新证书；检查本机时钟。",
    ),
    "tls_files": Reason(
        "A certificate or key file cannot be used",
        "Check path, rights and that it is PEM; certificate and key must belong together.",
        "证书或密钥文件不可用",
        "检查路径、权限和 PEM 格式；证书与密钥须匹配。",
    ),
    "mqtt_version_refused": Reason(
        "The broker does not speak this version of MQTT",
        "Set protocol: '3.1.1' in the lane's settings.",
        "消息服务器不支持该 MQTT 版本",
        "在通道设置中填写 protocol: '3.1.1'。",
    ),
    "client_id_refused": Reason(
        "The broker does not accept the client id",
        "Set client_id to one that the platform has given out.",
        "消息服务器不接受该客户端 id",
        "将 client_id 改为平台分配的值。",
    ),
    "client_id_taken": Reason(
        "Another client has connected with the same client id",
        "Two gateways use one gateway id or client_id: give each its own.",
        "另一客户端使用了相同的客户端 id",
        "两个网关使用了相同的网关 id 或 client_id：请分别设置。",
    ),
    "auth_banned": Reason(
        "The broker has banned this client",
        "Ask the platform's operator why, and to lift it.",
        "消息服务器已封禁该客户端",
        "联系平台管理员查明原因并解封。",
    ),
    "publish_not_authorised": Reason(
        "The account may not publish to this topic",
        "Give the account the right to publish to the topics of this gateway, retained ones included.",
        "账号无权发布到该主题",
        "授予该账号向本网关主题（含保留消息）发布的权限。",
    ),
    "topic_refused": Reason(
        "The broker refuses a topic",
        "Check the topic templates against the platform's rules.",
        "消息服务器拒绝该主题",
        "对照平台规则检查主题模板。",
    ),
    "packet_too_large": Reason(
        "The message is larger than the broker takes, and cannot be split further",
        "Raise the broker's largest packet size, or put fewer tags into one device.",
        "消息超过上限且无法再拆分",
        "加大消息服务器的最大包限制，或减少单个设备的点数。",
    ),
    "payload_refused": Reason(
        "The broker finds the payload not to be what it expects",
        "Choose the payload that the platform expects (columnar or json).",
        "消息服务器认为负载格式不符",
        "改用平台要求的负载格式（columnar 或 json）。",
    ),
    "retain_not_supported": Reason(
        "The broker keeps no retained messages",
        "Switch them on: schemas and status need them.",
        "消息服务器不支持保留消息",
        "请启用：schema 和状态需要保留消息。",
    ),
    "qos_not_supported": Reason(
        "The broker has no QoS 1",
        "Use a broker that has it: without it nothing can be delivered safely.",
        "消息服务器不支持 QoS 1",
        "请更换支持 QoS 1 的服务器，否则无法保证送达。",
    ),
    "broker_unavailable": Reason(
        "The broker says that it is not available",
        "Wait, or look at the broker; data is kept until it is back.",
        "消息服务器暂不可用",
        "等待或检查服务器；数据会保留到恢复。",
    ),
    "broker_busy": Reason(
        "The broker is busy, or limits connections",
        "Wait; if it stays, give the broker more resources.",
        "消息服务器繁忙或限制连接",
        "等待；若持续请增加服务器资源。",
    ),
    "broker_quota": Reason(
        "A quota of the platform is used up",
        "Raise the quota, or send less: larger deadbands, slower scan rates.",
        "平台配额已用完",
        "提高配额或减少发送：加大死区、放慢扫描。",
    ),
    "broker_moved": Reason(
        "The broker asks to use another server",
        "Set host to the server that the platform's operator names.",
        "消息服务器要求使用其他地址",
        "将 host 改为平台管理员提供的地址。",
    ),
    "broker_stopped": Reason(
        "The broker was shut down",
        "Wait until it is back; data is kept.",
        "消息服务器已停止",
        "等待恢复；数据会保留。",
    ),
    "keepalive_expired": Reason(
        "The broker heard nothing from us in time",
        "Check the network for long interruptions; lower keepalive behind a NAT that forgets.",
        "消息服务器超时未收到心跳",
        "检查网络中断；若经过 NAT 可减小 keepalive。",
    ),
    "receive_maximum_exceeded": Reason(
        "The broker says that too much was sent at once",
        "Lower in_flight in the lane's settings.",
        "消息服务器提示在途消息过多",
        "减小通道设置中的 in_flight。",
    ),
    "packet_id_in_use": Reason(
        "Broker and gateway disagree on what is in flight",
        "Nothing: the connection is made anew, and what was not acknowledged is sent again.",
        "双方在途消息状态不一致",
        "无需处理：会重新连接并补发未确认的数据。",
    ),
    "no_acknowledgement": Reason(
        "The broker acknowledges nothing, though the connection stands",
        "Look at the broker's load and disk; data is kept and sent again.",
        "连接正常但消息服务器不确认",
        "检查服务器负载和磁盘；数据会保留并重发。",
    ),
    "value_too_large": Reason(
        "A single value is larger than the platform takes",
        "Raise the broker's largest packet size; the value is kept, see `xingsha deadletters`.",
        "单个值超过平台允许的大小",
        "增大消息服务器的最大报文；该值已保存，见 `xingsha deadletters`。",
    ),
    "schema_rejected": Reason(
        "The platform does not take the description of a poll group",
        "Check rights on the schema topic and the largest packet; frames are kept, see `xingsha deadletters`.",
        "平台拒收采集组的描述（schema）",
        "检查 schema 主题的权限和最大报文；数据已保存，见 `xingsha deadletters`。",
    ),
    "frame_unreadable": Reason(
        "A stored frame does not fit its description",
        "Report it with the file from `xingsha deadletters`: this should not happen.",
        "已存储的数据帧与其描述不符",
        "请附上 `xingsha deadletters` 中的文件反馈：这不应发生。",
    ),
    "batch_unreadable": Reason(
        "A stored batch cannot be read",
        "Run `xingsha journal verify` and check the disk; the batch is kept, see `xingsha deadletters`.",
        "已存储的批次无法读取",
        "运行 `xingsha journal verify` 并检查磁盘；该批次已保存，见 `xingsha deadletters`。",
    ),
    "lane_unknown": Reason(
        "There is no lane of this name in the configuration",
        "Use a name that stands under lanes in the file.",
        "配置中没有该名称的通道",
        "请使用文件 lanes 下的名称。",
    ),
    "letter_unknown": Reason(
        "There is no dead letter of this name",
        "List them with `xingsha deadletters list`; it may have been delivered meanwhile.",
        "没有该名称的死信",
        "用 `xingsha deadletters list` 列出；可能已被投递。",
    ),
}
