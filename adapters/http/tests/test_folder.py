"""What the folder promises: a README that tells today's settings, a quick start that is good."""

import re
from enum import EnumMeta
from pathlib import Path

import yaml

from adapters.http import adapter, models
from adapters.http.config import Basic, HttpConnection, HttpDevice, HttpTag, TimeSetting, Tls
from gateway.config.fields import format_duration, format_size
from gateway.sdk import ConnectionConfig, DeviceConfig, Model, TagConfig

FOLDER = Path(__file__).parents[1]
TABLES = {
    "connection": (HttpConnection, ConnectionConfig),
    "tls": (Tls, Model),
    "basic": (Basic, Model),
    "device": (HttpDevice, DeviceConfig),
    "time": (TimeSetting, Model),
    "tag": (HttpTag, TagConfig),
}


def default_of(name, field):
    if field.is_required():
        return "required"
    if name == "max_body":
        return f"`{format_size(field.default)}`"
    if isinstance(field.default, float):
        return f"`{format_duration(field.default)}`"
    if isinstance(type(field.default), EnumMeta) or isinstance(field.default, str):
        return f"`{field.default}`"
    return f"`{str(field.default).lower()}`" if isinstance(field.default, bool) else ""


def table(model, base):
    lines = ["| setting | default | |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        inherited = base.model_fields.get(name)
        if inherited is None or inherited.default != field.default:
            lines.append(f"| `{name}` | {default_of(name, field)} | {field.description} |")
    return "\n".join(lines)


def fresh(text):
    for name, (model, base) in TABLES.items():
        begin = f"<!-- settings: {name} -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{table(model, base)}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def test_the_readme_tells_todays_settings():
    text = (FOLDER / "README.md").read_text()
    assert fresh(text) == text, "write the output of fresh() back to README.md"


def test_the_quick_starts_are_good():
    text = (FOLDER / "README.md").read_text()
    pushed = []
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        config = yaml.safe_load(block)
        (connection,) = config["connections"].values()
        (device,) = (dict(device) for device in config["devices"].values())
        tags = [models.tag.model_validate(tag) for tag in device.pop("tags")]
        made = adapter(models.connection.model_validate(connection))
        pushed.append(made.plan(models.device.model_validate(device), tags).push is not None)
    assert pushed == [False, True, True]
