"""Codes of single errors in a configuration file. The message names file, line, column and what was expected."""

from __future__ import annotations

from typing import Final

from gateway.model.reasons.reason import Reason

CONFIGURATION: Final[dict[str, Reason]] = {
    "config_invalid": Reason(
        "The configuration cannot work as it is",
        "Edit the place that the message names; `xingsha check` lists all such places at once.",
        "配置有误",
        "修改提示中指出的位置；`xingsha check` 会一次列出所有问题。",
    ),
    "yaml_invalid": Reason(
        "The file is not the YAML that the gateway reads",
        "Look at indentation, colons and quotes at the line given; put texts with special characters in quotes.",
        "文件不符合 YAML 语法",
        "检查所指行的缩进、冒号和引号；含特殊字符的文本请加引号。",
    ),
    "key_unknown": Reason(
        "There is no such key here",
        "Take the nearest key that the message gives; `xingsha schema` lists all keys.",
        "此处没有该配置项",
        "改为提示中最接近的配置项；`xingsha schema` 列出全部配置项。",
    ),
    "key_missing": Reason(
        "A key is missing that has no default",
        "Add it.",
        "缺少必填配置项",
        "补充该配置项。",
    ),
    "value_invalid": Reason(
        "The value is none that is possible here",
        "Write one as the message says was expected.",
        "该值无效",
        "按提示中的要求填写。",
    ),
    "name_twice": Reason(
        "The same name is used in two files",
        "Rename one of them, or remove it.",
        "两个文件使用了同一名称",
        "重命名或删除其中一个。",
    ),
    "tag_twice": Reason(
        "A device has two tags of one name",
        "Rename one; the profile's tags count as well.",
        "同一设备有两个同名点",
        "重命名其中一个；profile 中的点也计算在内。",
    ),
    "endpoint_twice": Reason(
        "Two connections lead to the same host and port, or to the same serial line",
        "Put their devices on one connection: a line has one owner.",
        "两个连接指向同一主机端口或同一串口",
        "将设备放到同一个连接下：一条线路只能有一个主人。",
    ),
    "device_without_tags": Reason(
        "A device has no tags, so there is nothing to read",
        "Give it tags or a profile, or set enabled: false.",
        "设备没有任何点，无可读取",
        "添加点表或 profile，或设置 enabled: false。",
    ),
    "interval_too_short": Reason(
        "max_interval is shorter than the scan rate, so it cannot be kept",
        "Scan faster, or raise max_interval.",
        "max_interval 短于扫描周期，无法满足",
        "加快扫描或加大 max_interval。",
    ),
    "connection_unknown": Reason(
        "The configuration has no connection of this name",
        "Check the spelling against connections.",
        "没有该名称的连接",
        "对照 connections 检查名称。",
    ),
    "profile_unknown": Reason(
        "The configuration has no profile of this name",
        "Check the spelling against profiles, and that the profile's file is included.",
        "没有该名称的 profile",
        "对照 profiles 检查名称，并确认已 include 该文件。",
    ),
    "profile_other_adapter": Reason(
        "The profile is for another protocol than the device's connection",
        "Take a profile of the connection's adapter.",
        "profile 与设备连接的协议不符",
        "改用与连接适配器一致的 profile。",
    ),
    "parameter_unknown": Reason(
        "The profile has no such parameter",
        "Check the spelling against the parameters that the profile declares.",
        "profile 没有该参数",
        "对照 profile 声明的参数检查名称。",
    ),
    "parameter_missing": Reason(
        "The profile needs a parameter that the device does not give",
        "Add it to params of the device.",
        "设备缺少 profile 所需的参数",
        "在设备的 params 中补充。",
    ),
    "reference_invalid": Reason(
        "A reference is not one of ${env:NAME}, ${file:path} or, in a profile, ${parameter}",
        "Write it as one of these.",
        "引用格式应为 ${env:名称}、${file:路径} 或 profile 中的 ${参数}",
        "按上述格式填写。",
    ),
    "secret_missing": Reason(
        "A secret cannot be had: the variable is not set, or the file cannot be read",
        "Set the variable where the service is started (secrets.env), or give its user the right to read the file.",
        "无法取得密钥：环境变量未设置或文件不可读",
        "在服务启动处（secrets.env）设置变量，或授予读取该文件的权限。",
    ),
    "file_unreadable": Reason(
        "A file of the configuration cannot be read",
        "Check path, owner and rights; include patterns start at the folder of the configuration file.",
        "配置文件无法读取",
        "检查路径、属主和权限；include 以主配置文件所在目录为起点。",
    ),
    "file_too_large": Reason(
        "The files of the configuration are larger than the gateway reads",
        "Describe devices of one model by one profile instead of tag by tag.",
        "配置文件过大",
        "同型号设备请共用一个 profile，不要逐点重复。",
    ),
    "payload_unknown": Reason(
        "There is no such payload codec",
        "Choose one that the message names.",
        "没有该负载格式",
        "从提示中选择一种。",
    ),
    "sink_unknown": Reason(
        "There is no such sink",
        "Choose one that the message names.",
        "没有该输出目标",
        "从提示中选择一种。",
    ),
}
