"""Codes of gaps, and of the bus that keeps the data."""

from __future__ import annotations

from typing import Final

from gateway.model.reasons.reason import Reason

BUS: Final[dict[str, Reason]] = {
    "outage": Reason(
        "The device could not be read in this interval",
        "Nothing is left to do for the gap itself; the state of the device names the cause.",
        "该时段内设备无法读取",
        "缺口本身无需处理；原因见设备状态。",
    ),
    "overrun": Reason(
        "Polls were skipped: the one before was not done when the next was due",
        "Scan more slowly, read fewer tags, or spread devices over more lines; `xingsha check` forecasts the load.",
        "轮询被跳过：上一次轮询未能按时完成",
        "放慢扫描周期、减少点数或将设备分到更多线路；`xingsha check` 可预测负载。",
    ),
    "overflow": Reason(
        "The buffer was full, and data that a platform had not yet got was given up",
        "Bring the platform back, raise bus.limit or bus.retain, or report by exception with larger deadbands.",
        "缓冲区已满，部分未送达平台的数据被放弃",
        "恢复平台连接，加大 bus.limit 或 bus.retain，或加大死区以减少上报。",
    ),
    "restart": Reason(
        "The gateway did not run in this interval",
        "If nobody meant to stop it: look at power, `systemctl status xingsha` and `journalctl -u xingsha`.",
        "该时段内网关未运行",
        "若非人为停止：检查电源、`systemctl status xingsha` 和 `journalctl -u xingsha`。",
    ),
    "clock_set": Reason(
        "The clock was set, or is known to be right again: nothing is missing, times are corrected by this record",
        "Nothing is left to do; docs/payload.md tells how a platform applies it.",
        "时钟被校正或重新可信：没有数据缺失，此记录用于修正时间",
        "无需处理；平台如何应用见 docs/payload.md。",
    ),
    "clock_not_trusted": Reason(
        "Nobody vouches for the clock of this machine: frames say so, and are corrected once the time is known",
        "Run chrony or systemd-timesyncd (`timedatectl` shows it); where the clock is kept right by other means, set "
        "gateway.clock to always or to a file.",
        "本机时钟未经校准：数据会注明，待时间确认后修正",
        "启用 chrony 或 systemd-timesyncd（用 `timedatectl` 查看）；若以其他方式校时，"
        "请将 gateway.clock 设为 always 或文件路径。",
    ),
    "corruption": Reason(
        "Stored data was damaged, and was set aside",
        "Check the disk (`smartctl -a`, `dmesg`); flash cards wear out; `xingsha journal verify` tells what is left.",
        "存储的数据损坏，已隔离",
        "检查磁盘（`smartctl -a`、`dmesg`）；存储卡会磨损；`xingsha journal verify` 查看剩余数据。",
    ),
    "poison": Reason(
        "A platform rejected this data for good; it was set aside as a dead letter",
        "`xingsha deadletters` lists reason and content, and replays them once the cause is gone.",
        "平台拒收该数据，已转入死信",
        "用 `xingsha deadletters` 查看原因和内容，排除后可重放。",
    ),
    "bus_closed": Reason(
        "The bus is not open yet",
        "Wait some seconds after the start; if it stays, read the log.",
        "总线尚未打开",
        "启动后等待数秒；若仍如此请查看日志。",
    ),
    "bus_failed": Reason(
        "The bus cannot go on: the gateway ends, so that it is started again",
        "systemd or Docker starts it again, and the journal keeps what was committed; please report the message.",
        "总线无法继续工作：网关退出以便重新启动",
        "systemd 或 Docker 会重新启动网关，已提交的数据保留在日志库中；请将该消息反馈给我们。",
    ),
    "bus_full": Reason(
        "The bus has reached its limit",
        "As for overflow; `xingsha_bus_hours_left` and bus.when_full tell what happens next.",
        "总线已达上限",
        "同 overflow；`xingsha_bus_hours_left` 和 bus.when_full 决定后续处理。",
    ),
    "disk_full": Reason(
        "The disk is full",
        "Free space on the journal's file system, or lower bus.limit; bus.min_free keeps a reserve.",
        "磁盘已满",
        "清理日志库所在磁盘，或减小 bus.limit；bus.min_free 用于保留余量。",
    ),
    "journal_in_use": Reason(
        "Another process holds the journal",
        "A second gateway runs with the same bus.path: stop it, or give each its own file.",
        "日志库被其他进程占用",
        "有另一个网关使用相同的 bus.path：停止它，或各用各的文件。",
    ),
    "journal_not_writable": Reason(
        "The gateway may not write where the journal is to be",
        "Give the gateway's user the folder of bus.path, or choose another path.",
        "网关无权写入日志库所在目录",
        "将 bus.path 所在目录的权限授予网关用户，或更换路径。",
    ),
    "journal_foreign": Reason(
        "The file is a database of another program",
        "Set bus.path to another file; this one was left alone.",
        "该文件是其他程序的数据库",
        "将 bus.path 改为其他文件；该文件未做改动。",
    ),
    "journal_of_another_gateway": Reason(
        "The journal belongs to a gateway with another id",
        "Set gateway.id back, or set bus.path to a new file; this one was left alone.",
        "日志库属于另一个网关 id",
        "恢复原来的 gateway.id，或将 bus.path 改为新文件；该文件未做改动。",
    ),
    "journal_newer": Reason(
        "The journal was written by a newer version of the gateway",
        "Install that version again, or set bus.path to a new file; this one was left alone.",
        "日志库由更新版本的网关写入",
        "重新安装新版本，或将 bus.path 改为新文件；该文件未做改动。",
    ),
}
