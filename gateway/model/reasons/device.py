"""Codes of what stands between the gateway and a machine: name, route, link, line, answer."""

from __future__ import annotations

from typing import Final

from gateway.model.reasons.reason import Reason

DEVICE: Final[dict[str, Reason]] = {
    "connecting": Reason(
        "Not reached yet since the gateway was started",
        "Wait one retry period; if it stays, `xingsha probe` tells what is in the way.",
        "网关启动后尚未连上该设备",
        "等待一个重试周期；若仍如此，用 `xingsha probe` 查看原因。",
    ),
    "link_lost": Reason(
        "The link to the device is gone or cannot be had",
        "Check cable, power, address and port; `xingsha probe` tells refused from no answer.",
        "与设备的连接中断或无法建立",
        "检查网线、电源、地址和端口；用 `xingsha probe` 区分拒绝与无应答。",
    ),
    "descriptors_exhausted": Reason(
        "The gateway may not open any more sockets and files",
        "Raise LimitNOFILE of the service (or `ulimit -Hn`): one for each connection and lane, and 50 besides.",
        "网关无法再打开更多的套接字和文件",
        "调高服务的 LimitNOFILE（或 `ulimit -Hn`）：每个连接和通道各一个，另加 50 个。",
    ),
    "connection_refused": Reason(
        "The host is there, and nothing listens on the port",
        "Check the port number, switch the protocol on in the device, and see whether a firewall rejects it.",
        "主机在线，但该端口没有服务",
        "核对端口号，在设备上启用该协议，检查防火墙是否拒绝。",
    ),
    "connect_timeout": Reason(
        "Nothing answered while connecting",
        "Check power, cable, switch and IP address; ping it from this box; look for a firewall that drops silently.",
        "建立连接时没有任何应答",
        "检查电源、网线、交换机和 IP 地址；在本机 ping 该设备；检查是否有防火墙静默丢弃。",
    ),
    "no_route": Reason(
        "The network of the device cannot be reached from this box",
        "Check this box's IP address, mask and gateway (`ip addr`, `ip route`), the cable and the VLAN.",
        "本机无法到达设备所在网络",
        "检查本机的 IP、掩码和网关（`ip addr`、`ip route`）、网线和 VLAN。",
    ),
    "name_unknown": Reason(
        "The host name cannot be resolved",
        "Check its spelling and this box's DNS server, or write the IP address instead of the name.",
        "主机名无法解析",
        "检查拼写和本机 DNS 设置，或直接填写 IP 地址。",
    ),
    "serial_port_missing": Reason(
        "The serial port does not exist",
        "Plug the adapter in; find its name with `ls -l /dev/serial/by-id`, and use that name: it survives restarts.",
        "串口不存在",
        "插好串口转换器；用 `ls -l /dev/serial/by-id` 查看名称并填写该名称，重启后不会变。",
    ),
    "serial_port_denied": Reason(
        "The serial port may not be opened",
        "Add the user of the gateway to the group dialout, and end other programs that hold the port (`fuser -v`).",
        "没有权限打开串口",
        "将网关用户加入 dialout 组，并关闭占用串口的其他程序（`fuser -v`）。",
    ),
    "serial_port_unsuitable": Reason(
        "The serial port does not take these settings",
        "Check that the path is a serial port and that it can do this baud rate, parity and stop bits.",
        "串口不支持这些参数",
        "确认该路径是串口，并支持所填的波特率、校验和停止位。",
    ),
    "no_answer": Reason(
        "The device did not answer in time",
        "Check that it is on and its unit id is right; on RS-485 also baud rate, parity, A/B wires and termination; "
        "raise timeout for a slow device.",
        "设备未在规定时间内应答",
        "确认设备已上电、站号正确；RS-485 还要检查波特率、校验、A/B 接线和终端电阻；慢速设备可加大 timeout。",
    ),
    "answer_incomplete": Reason(
        "Something arrived, but no whole answer in time",
        "Check that the device speaks the configured protocol; on RS-485 also baud rate, parity and wires; "
        "raise timeout for a slow device.",
        "收到了数据，但未在规定时间内收到完整应答",
        "确认设备使用所配置的协议；RS-485 还要检查波特率、校验、接线和终端电阻；慢速设备可加大 timeout。",
    ),
    "device_busy": Reason(
        "The device asks for patience",
        "Scan more slowly, ask for fewer tags, and see whether another master polls the same device.",
        "设备忙，请求稍后再试",
        "放慢扫描周期、减少点数，检查是否有其他主站同时轮询该设备。",
    ),
    "protocol_broken": Reason(
        "What came back is not the protocol that is configured",
        "Check protocol, port, framing (TCP or RTU over TCP), baud rate and parity; on RS-485 look for two devices "
        "with one unit id and for noise.",
        "收到的数据不符合所配置的协议",
        "核对协议、端口、帧格式（TCP 或 RTU over TCP）、波特率和校验；RS-485 检查站号是否重复以及干扰。",
    ),
    "tag_refused": Reason(
        "The device refuses this tag",
        "Compare address, area and type with the manual of the device; `xingsha probe` shows what stands there.",
        "设备拒绝读取该点",
        "对照设备手册核对地址、数据区和类型；用 `xingsha probe` 查看该处内容。",
    ),
    "fault": Reason(
        "A fault that has no code of its own",
        "Read the message beside it, and report it so that it gets one.",
        "未分类的故障",
        "查看旁边的说明，并反馈给我们以便分类。",
    ),
    "session_refused": Reason(
        "The controller takes the TCP connection, and declines the session in it",
        "Check rack and slot, or the TSAP, against the hardware configuration; free a connection of that type in the "
        "controller, or try another connection_type.",
        "控制器接受了 TCP 连接，但拒绝建立会话",
        "对照硬件组态核对机架号、插槽号或 TSAP；释放控制器中该类型的连接资源，或换用其他 connection_type。",
    ),
    "put_get_disabled": Reason(
        "The controller does not permit access with PUT/GET",
        "In TIA Portal open the CPU's properties, Protection & Security, Connection mechanisms: tick 'Permit access "
        "with PUT/GET communication from remote partner', full access as protection level, and download.",
        "控制器未允许 PUT/GET 访问",
        "在 TIA Portal 中打开 CPU 属性 → 防护与安全 → 连接机制，勾选“允许来自远程对象的 PUT/GET 通信访问”，"
        "保护等级设为完全访问，然后下载。",
    ),
    "queue_full": Reason(
        "Too many requests wait for this connection",
        "Scan more slowly, or write less often; the line cannot do more.",
        "该连接等待的请求过多",
        "放慢扫描或减少写入；线路已达极限。",
    ),
    "session_stalled": Reason(
        "A poll did not come back in time, and the session was closed",
        "Nothing, if it happens once; else note the device's model and report it.",
        "轮询未能返回，会话已关闭",
        "偶发可忽略；若反复出现，请记录设备型号并反馈。",
    ),
    "internal_error": Reason(
        "A bug in the gateway or in an adapter",
        "This device's work is started again; look for adapter_bug in the log and report it.",
        "网关或适配器程序缺陷",
        "该设备的任务会自动重启；请查看日志中的 adapter_bug 并反馈。",
    ),
    "subscription_refused": Reason(
        "The broker does not grant a subscription that a device needs",
        "Check the topic filter, and what the account may read; wildcards and shared subscriptions are not everywhere.",
        "消息服务器拒绝了设备所需的订阅",
        "检查主题过滤器和账号的订阅权限；并非所有服务器都支持通配符和共享订阅。",
    ),
    "declared_offline": Reason(
        "The machine, or the edge node before it, has announced that it is offline",
        "Look at the machine and at its own connection to the broker; nothing is wrong between broker and gateway.",
        "设备（或其边缘节点）已宣告离线",
        "检查该设备及其与消息服务器的连接；消息服务器与网关之间没有问题。",
    ),
    "sequence_gap": Reason(
        "Messages of the machine are missing: their numbers have a gap, or one could not be read",
        "A rebirth was requested, which tells all values anew; if it recurs, look at the load of broker and network.",
        "设备消息缺失：序号不连续，或有消息无法解析",
        "已请求设备重新上报全部数据；若反复出现，请检查消息服务器和网络的负载。",
    ),
    "session_not_kept": Reason(
        "The broker has not kept what machines published while the gateway was away, or does not keep it",
        "Use qos 1 and a long enough session; let the broker keep sessions on disk (Mosquitto: persistence true).",
        "网关离线期间设备发布的消息未被消息服务器保留",
        "使用 qos 1 并设置足够长的 session；让消息服务器把会话保存到磁盘（Mosquitto：persistence true）。",
    ),
    "certificate_not_trusted": Reason(
        "The certificate that the server shows has not been approved here",
        "Compare its thumbprint with what the server itself shows, then `xingsha trust CONFIG CONNECTION --approve "
        "THUMBPRINT`.",
        "本网关尚未信任服务器出示的证书",
        "与服务器上显示的指纹核对一致后，执行 `xingsha trust CONFIG CONNECTION --approve 指纹`。",
    ),
    "certificate_rejected": Reason(
        "The server does not trust the certificate of this gateway",
        "Have the server trust it; most keep refused ones in a list of their own. `xingsha trust` shows ours.",
        "服务器不信任本网关的证书",
        "在服务器上信任该证书（多数服务器有被拒证书列表）；用 `xingsha trust` 查看其指纹。",
    ),
    "certificate_expired": Reason(
        "The certificate of the server is not valid today",
        "Check the clock of this box first; else have a new certificate made in the server and approve it.",
        "服务器证书不在有效期内",
        "先检查本机时钟；若无误，在服务器上重新生成证书并重新信任。",
    ),
    "certificate_invalid": Reason(
        "What the server shows as its certificate cannot be read as one",
        "Have the server make a new certificate; `xingsha probe` tells whether it helped.",
        "服务器出示的证书无法解析",
        "在服务器上重新生成证书，再用 `xingsha probe` 验证。",
    ),
    "security_not_offered": Reason(
        "The server has no endpoint with the security that is configured",
        "Switch that policy and mode on in the server, or configure one that the message lists.",
        "服务器没有提供所配置的安全策略",
        "在服务器上启用该策略和模式，或改为消息中列出的策略。",
    ),
    "password_in_clear": Reason(
        "The password would travel unencrypted",
        "Set a security policy and mode sign_and_encrypt; login_in_clear: true only where the network is trusted.",
        "密码将以明文传输",
        "请设置安全策略并使用 sign_and_encrypt；仅在可信网络中才设置 login_in_clear: true。",
    ),
    "no_history": Reason(
        "The device cannot tell what happened while the link was down",
        "Switch recording (historizing) on for these variables in the server, or live with the gap that is declared.",
        "设备无法提供断线期间的历史数据",
        "在服务器上为这些变量启用历史记录，否则将如实声明数据缺口。",
    ),
    "entry_in_use": Reason(
        "The device took the connection and closed it at once",
        "Its connection entry serves one partner: end the other one, or add an entry in the device for the gateway.",
        "设备接受连接后立即关闭",
        "该连接条目只允许一个客户端：断开另一个客户端，或在设备中为网关增加一个连接条目。",
    ),
    "route_refused": Reason(
        "A station on the way does not know the way to this device",
        "Check network, station, PC and I/O number in the configuration, and the routing settings of the stations.",
        "途经的站点无法到达该设备",
        "核对配置中的网络号、站号、PC 号和 I/O 号，以及各站的路由设置。",
    ),
}
