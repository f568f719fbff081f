"""Codes of what keeps the gateway, or a part of it, from starting: configuration, files, ports, packages."""

from __future__ import annotations

from typing import Final

from gateway.model.reasons.reason import Reason

SETUP: Final[dict[str, Reason]] = {
    "adapter_unknown": Reason(
        "No adapter of this id is installed",
        "Check the spelling; `xingsha adapters` lists those that are installed.",
        "没有安装该适配器",
        "检查拼写；`xingsha adapters` 列出已安装的适配器。",
    ),
    "extra_missing": Reason(
        "A package is needed that is not installed",
        "Run the pip command that the message gives; `xingsha adapters --json` names the extra of each adapter.",
        "所需的软件包未安装",
        "执行提示中的 pip 命令；`xingsha adapters --json` 列出各适配器所需的 extra。",
    ),
    "manifest_invalid": Reason(
        "The adapter.toml of an adapter cannot be read or is not complete",
        "Add what the message names; compare with adapters/modbus/adapter.toml.",
        "适配器的 adapter.toml 无法读取或不完整",
        "补充提示中的内容；可参照 adapters/modbus/adapter.toml。",
    ),
    "sdk_unsuitable": Reason(
        "The adapter was written for another version of gateway.sdk",
        "Install the version of the adapter that fits this gateway, or the gateway that the adapter was written for; "
        "docs/adapters.md tells what changed.",
        "该适配器是为另一版本的 gateway.sdk 编写的",
        "安装与本网关匹配的适配器版本，或安装适配器所要求的网关版本；变更说明见 docs/adapters.md。",
    ),
    "folder_exists": Reason(
        "A folder of that name is there already",
        "Choose another name or place; nothing was changed in the one that is there.",
        "同名文件夹已存在",
        "换一个名称或位置；已有的文件夹没有改动。",
    ),
    "no_simulator": Reason(
        "The adapter brings no simulator",
        "Use the real device, or leave it out with --device.",
        "该适配器没有模拟器",
        "使用真实设备，或用 --device 排除。",
    ),
    "cannot_browse": Reason(
        "The adapter cannot list what a device has",
        "Take names and addresses from the device's documents; `xingsha adapters` shows which adapters can browse.",
        "该适配器无法列出设备的数据点",
        "请从设备资料中查找名称和地址；`xingsha adapters` 列出支持浏览的适配器。",
    ),
    "device_unknown": Reason(
        "The configuration has no device of this name",
        "Check the spelling against the devices in the file.",
        "配置中没有该设备",
        "对照配置文件检查名称。",
    ),
    "tag_unknown": Reason(
        "The device has no tag of this name",
        "Check the spelling against the tags of the device and of its profile.",
        "该设备没有此点",
        "对照设备及其 profile 的点表检查名称。",
    ),
    "port_in_use": Reason(
        "Another program listens on this port",
        "See which with `ss -ltnp`; stop it, or choose another port.",
        "端口被其他程序占用",
        "用 `ss -ltnp` 查看；停止该程序或更换端口。",
    ),
    "address_unusable": Reason(
        "This address cannot be listened on",
        "Use an address of this box (`ip addr`), and a port above 1023 unless the gateway may use lower ones.",
        "无法在该地址上监听",
        "使用本机地址（`ip addr`），端口应大于 1023，除非已授权使用低端口。",
    ),
    "file_missing": Reason(
        "The file or folder does not exist",
        "Check the path; relative paths start at the folder of the configuration file.",
        "文件或目录不存在",
        "检查路径；相对路径以配置文件所在目录为起点。",
    ),
    "file_denied": Reason(
        "The file or folder may not be used",
        "Check owner and rights (`ls -l`); the service runs as a user of its own, with few rights.",
        "没有权限访问该文件或目录",
        "检查属主和权限（`ls -l`）；服务以权限很小的专用用户运行。",
    ),
    "file_unsuitable": Reason(
        "The path is a folder where a file is needed, or the other way round",
        "Check the path.",
        "路径类型不符（需要文件却是目录，或相反）",
        "检查路径。",
    ),
    "python_missing": Reason(
        "No Python of 3.11 or later was found",
        "Install it (apt-get install python3 python3-venv), or give the path of one in XINGSHA_PYTHON.",
        "没有找到 3.11 或更高版本的 Python",
        "安装（apt-get install python3 python3-venv），或用 XINGSHA_PYTHON 指定路径。",
    ),
    "venv_missing": Reason(
        "This Python cannot make a virtual environment",
        "Install it: apt-get install python3-venv.",
        "该 Python 无法创建虚拟环境",
        "安装 python3-venv：apt-get install python3-venv。",
    ),
    "packages_missing": Reason(
        "The tests need system packages that only root can install",
        "Run the apt-get command that the message gives, as root.",
        "测试所需的系统软件包只能由 root 安装",
        "以 root 身份执行提示中的 apt-get 命令。",
    ),
    "drain_timeout": Reason(
        "The gateway was told to stop and could not finish in time",
        "Nothing that was committed is lost: it is sent after the next start. A longer --drain gives more time.",
        "网关停止时未能在限定时间内完成",
        "已提交的数据不会丢失，下次启动后继续发送；可加大 --drain。",
    ),
    "worker_down": Reason(
        "A worker process of the gateway is not there or does not answer",
        "It is started again by itself, and what it committed is kept. If it ends again and again, the log says why.",
        "网关的一个工作进程不在运行或没有响应",
        "它会自动重启，已提交的数据不会丢失；若反复出现，请查看日志中的退出原因。",
    ),
    "system_error": Reason(
        "The operating system refused",
        "The message is the system's own; `dmesg` and the system log may tell more.",
        "操作系统拒绝了请求",
        "提示为系统原文；可查看 `dmesg` 和系统日志。",
    ),
    "broker_failed": Reason(
        "The embedded broker of the demo does not come up",
        "Read the line beside it; see whether another program blocks loopback ports.",
        "演示用的内置消息服务器无法启动",
        "查看旁边的说明；检查回环端口是否被占用。",
    ),
    "plant_failed": Reason(
        "The simulated plant of the demo does not come up",
        "Read the lines above it; see whether another program blocks loopback ports.",
        "演示用的模拟工厂无法启动",
        "查看上方的说明；检查回环端口是否被占用。",
    ),
    "certificate_files": Reason(
        "A certificate or its key cannot be read, made or used",
        "Check path and rights of the files; a key must be an RSA key in PEM without a password, and belong to its "
        "certificate.",
        "证书或私钥无法读取、生成或使用",
        "检查文件路径和权限；私钥须为无密码的 PEM 格式 RSA 密钥，并与证书匹配。",
    ),
    "certificate_unknown": Reason(
        "No refused certificate has this thumbprint",
        "`xingsha trust CONFIG CONNECTION` lists them; give at least the first eight digits.",
        "没有与该指纹匹配的待信任证书",
        "用 `xingsha trust CONFIG CONNECTION` 列出证书；至少输入指纹的前八位。",
    ),
    "cannot_trust": Reason(
        "The adapter of this connection has no trust list",
        "Its protocol trusts by other means: with TLS, `ca` of the connection names whom to trust.",
        "该连接的适配器没有信任列表",
        "该协议通过其他方式建立信任：使用 TLS 时由连接的 `ca` 指定。",
    ),
}
