"""Codes of a single value's quality: the labels of model.quality."""

from __future__ import annotations

from typing import Final

from gateway.model.reasons.reason import Reason

QUALITY: Final[dict[str, Reason]] = {
    "good": Reason(
        "The value was read and nothing speaks against it",
        "Nothing to do.",
        "数据有效",
        "无需处理。",
    ),
    "out_of_range": Reason(
        "The value lies outside the credible range that is configured",
        "Look at sensor and wiring; if the value is right, widen range; check word order and scale.",
        "数值超出所配置的可信范围",
        "检查传感器和接线；若数值正确则放宽 range；核对字序和比例。",
    ),
    "clamped": Reason(
        "The value was limited to the range in clamp",
        "As for out_of_range; remove clamp to see the value as it was read.",
        "数值已被 clamp 限幅",
        "同 out_of_range；去掉 clamp 可看到原始数值。",
    ),
    "substituted": Reason(
        "The device sends a substitute, not a measurement",
        "Look at the device: somebody entered the value by hand, or its input is switched off.",
        "设备给出的是替代值而非测量值",
        "检查设备：可能为人工置数，或该输入已停用。",
    ),
    "sensor_uncertain": Reason(
        "The device itself doubts its sensor",
        "Look at the sensor, its calibration and its wiring.",
        "设备认为传感器数据不可靠",
        "检查传感器、校准和接线。",
    ),
    "not_connected": Reason(
        "There is no link to the device",
        "See the reason of the device in `xingsha_device_reason` or `/status`; there the cause is named.",
        "与设备没有连接",
        "在 `xingsha_device_reason` 指标或 `/status` 中查看该设备的原因。",
    ),
    "timeout": Reason(
        "The request for this value was not answered in time",
        "As for no_answer; if only some tags are concerned, the device may be slow there: raise timeout.",
        "读取该值超时",
        "同 no_answer；若只有部分点超时，可加大 timeout。",
    ),
    "config": Reason(
        "The tag cannot be read as it is configured",
        "Run `xingsha check`, and compare address and type with the manual of the device.",
        "该点的配置无法读取",
        "运行 `xingsha check`，并对照设备手册核对地址和类型。",
    ),
    "auth": Reason(
        "The device does not let us read this",
        "Check user, password, certificate and access level in the device.",
        "设备不允许读取",
        "检查设备上的用户、密码、证书和访问级别。",
    ),
    "busy": Reason(
        "The device was busy",
        "As for device_busy.",
        "设备忙",
        "同 device_busy。",
    ),
    "address_refused": Reason(
        "The device has no such address",
        "Check the address against the manual: base 0 or 1, area, number of registers; some models lack some of them.",
        "设备没有该地址",
        "对照手册核对地址：从 0 还是 1 开始、数据区、寄存器数量；部分型号没有某些寄存器。",
    ),
    "function_refused": Reason(
        "The device does not do this kind of request",
        "Choose another area (holding or input register, coil or discrete input); see the manual.",
        "设备不支持该功能码或请求",
        "换用其他数据区（保持/输入寄存器、线圈/离散输入），参见手册。",
    ),
    "device_failure": Reason(
        "The device says that it failed",
        "Look at its display or fault memory; switch it off and on; call its maker.",
        "设备报告自身故障",
        "查看设备显示或故障记录；断电重启；联系厂家。",
    ),
    "protocol": Reason(
        "The answer for this value broke the protocol",
        "As for protocol_broken.",
        "该值的应答不符合协议",
        "同 protocol_broken。",
    ),
    "undecodable": Reason(
        "The bytes are no value of the type that is configured",
        "Check type, length and encoding (BCD, text); `xingsha probe` shows every decoding of the raw words.",
        "原始字节无法按所配置的类型解码",
        "检查类型、长度和编码（BCD、文本）；`xingsha probe` 会列出原始字的各种解码。",
    ),
    "not_available": Reason(
        "The device has no value for this tag at the moment",
        "Often normal while a machine stands or warms up; else see its manual.",
        "设备当前没有该值",
        "停机或预热时通常正常；否则查阅手册。",
    ),
    "sensor_failure": Reason(
        "The device says that its sensor is broken",
        "Look for a broken wire or a short circuit; replace the sensor.",
        "设备报告传感器故障",
        "检查断线或短路，必要时更换传感器。",
    ),
    "internal": Reason(
        "The gateway itself failed on this value",
        "A bug in the gateway: look for the log line of the device and report it.",
        "网关内部错误",
        "网关程序缺陷：请查看该设备的日志并反馈。",
    ),
}
