"""Poll groups and the load forecast: sums that can be done by hand."""

import pytest

from gateway.collect.forecast import ANSWER_TIME, Verdict, forecast, installed_adapter
from gateway.collect.groups import poll_groups
from gateway.config.loader import load as plain_load
from gateway.model.faults import ConfigFault


@pytest.fixture
def outlook(tiny, tmp_path):
    def make(text):
        path = tmp_path / "plant.yaml"
        path.write_text("gateway: {id: plant-1}\n" + text)
        return forecast(tiny.load(path), tiny.Adapter)

    return make


def tags(count, **extra):
    more = "".join(f", {key}: {value}" for key, value in extra.items())
    return ", ".join(f"{{name: t{extra.get('scan', '')}-{n}, type: int16, word: {n}{more}}}" for n in range(count))


def serial(baud, *devices, scan="1s", count=4):
    lines = [f"connections:\n  line: {{adapter: tiny, serial: /dev/ttyS1, baud: {baud}}}\ndevices:\n"]
    lines += [f"  {name}: {{connection: line, station: 1, scan: {scan}, tags: [{tags(count)}]}}\n" for name in devices]
    return "".join(lines)


def test_tags_of_one_rate_are_one_group(tiny, tmp_path):
    path = tmp_path / "plant.yaml"
    path.write_text(
        "gateway: {id: x}\nconnections: {line: {adapter: tiny, host: x}}\ndevices:\n"
        f"  mixed: {{connection: line, station: 1, scan: 1s, tags: [{tags(2)}, {tags(1, scan='250ms')}, {tags(3, scan='1s')}, {tags(1, scan='1min')}]}}\n"
        f"  plain: {{connection: line, station: 1, scan: 5s, tags: [{tags(2)}]}}\n"
    )
    devices = tiny.load(path).devices
    groups = poll_groups(devices["mixed"])
    assert [(group.name, group.scan, len(group.tags)) for group in groups] == [
        ("250ms", 0.25, 1),
        ("1s", 1, 5),
        ("1min", 60, 1),
    ]
    assert [tag.name for tag in groups[1].tags] == ["t-0", "t-1", "t1s-0", "t1s-1", "t1s-2"]
    (only,) = poll_groups(devices["plain"])
    assert only.tags is devices["plain"].tags
    assert only.device is devices["plain"]


def test_a_serial_line_adds_up_its_bytes(outlook):
    # 4 tags × 15 bytes × 10 bits at 9600 baud are 62.5 ms on the line; each of 4 answers is waited for.
    (line,) = outlook(serial(9600, "a", "b")).connections
    assert (line.connection, line.devices, line.tags, line.requests, line.wire_bytes) == ("line", 2, 8, 8, 120)
    assert line.line_load == pytest.approx(0.125)
    assert line.seconds == pytest.approx(0.125 + 8 * ANSWER_TIME)
    assert line.load == pytest.approx(line.seconds)
    assert (line.verdict, line.advice) == (Verdict.OK, "")


def test_faster_groups_weigh_more(outlook):
    text = f"""
connections: {{line: {{adapter: tiny, serial: /dev/ttyS1, baud: 9600}}}}
devices:
  a: {{connection: line, station: 1, scan: 1s, tags: [{tags(4)}, {tags(4, scan="500ms")}]}}
"""
    (line,) = outlook(text).connections
    assert line.line_load == pytest.approx(0.0625 + 0.125)
    assert [(group.group, group.line_seconds) for group in line.groups] == [
        ("500ms", pytest.approx(0.0625)),
        ("1s", pytest.approx(0.0625)),
    ]


def test_what_a_line_cannot_carry_is_refused(outlook):
    found = outlook(serial(300, "a"))
    (line,) = found.connections
    assert line.line_load == pytest.approx(2.0)
    assert line.verdict is Verdict.REFUSE
    assert not found.good
    assert "busy 200% of the time: make scan rates 2.9 times longer" in line.advice


def test_a_line_without_room_is_warned_of(outlook):
    found = outlook(serial(900, "a"))  # 67 % certain, 71 % with the machine's answers
    (line,) = found.connections
    assert line.line_load < 0.7 < line.load
    assert line.verdict is Verdict.WARN
    assert found.good
    assert line.advice.startswith("it is busy 71% of the time if a machine answers in 10 ms")
    assert outlook(serial(1200, "a")).connections[0].verdict is Verdict.OK


def test_a_network_is_an_estimate_and_only_warned_of(outlook):
    text = "connections: {{net: {{adapter: tiny, host: x}}}}\ndevices: {{a: {{connection: net, station: 1, scan: 100ms, tags: [{}]}}}}\n"
    (calm,) = outlook(text.format(tags(9))).connections
    assert (calm.line_load, calm.load, calm.verdict) == (0, pytest.approx(0.9), Verdict.OK)
    found = outlook(text.format(tags(11)))
    assert found.connections[0].verdict is Verdict.WARN
    assert "may be busy 110%" in found.connections[0].advice
    assert found.good


def test_back_to_back_takes_what_the_others_leave(outlook):
    (line,) = outlook(serial(9600, "a", scan="0s")).connections
    assert (line.back_to_back, line.load, line.verdict) == (True, 0, Verdict.OK)
    assert line.groups[0].group == "0s"
    text = (
        serial(9600, "a")
        + f"  b: {{connection: line, station: 2, scan: 0s, tags: [{tags(1, scan='500ms')}, {tags(1)}]}}\n"
    )
    (line,) = outlook(text).connections
    assert line.back_to_back
    assert line.line_load == pytest.approx(0.0625 + 15 * 10 / 9600 / 0.5)
    assert not outlook(serial(9600, "a")).connections[0].back_to_back


def test_a_connection_without_devices_is_idle(outlook):
    (idle,) = outlook("connections: {net: {adapter: tiny, host: x}}\n").connections
    assert (idle.devices, idle.tags, idle.seconds, idle.load, idle.verdict) == (0, 0, 0, 0, Verdict.OK)


def test_tags_that_cannot_be_planned_are_named(outlook):
    text = """
connections: {net: {adapter: tiny, host: x}}
devices:
  a:
    connection: net
    station: 1
    tags:
      - {name: good, type: int16, word: 1}
      - {name: bad, type: int16, word: 10000}
      - {name: slow, type: int16, word: 2, scan: 5s}
      - {name: worse, type: int16, word: 20000, scan: 5s}
  b: {connection: net, station: 2, tags: [{name: good, type: int16, word: 1}]}
"""
    found = outlook(text)
    assert [(one.section, one.name, one.tag, one.code) for one in found.refusals] == [
        ("devices", "a", 1, "address_invalid"),
        ("devices", "a", 3, "address_invalid"),
    ]
    assert not found.good
    assert [group.device for group in found.connections[0].groups] == ["b"]


def test_a_device_that_cannot_be_planned_is_named_once(tiny, tmp_path):
    class Broken(tiny.Adapter):
        def plan(self, device, tags):
            raise ConfigFault("station 1 is the broadcast address", code="station_invalid")

    class Pair(tiny.Adapter):
        def plan(self, device, tags):
            if len(tags) > 1:
                raise ConfigFault("too many for one plan", code="too_many")
            return super().plan(device, tags)

    path = tmp_path / "plant.yaml"
    path.write_text("gateway: {id: x}\n" + serial(9600, "a"))
    configuration = tiny.load(path)
    for adapter, code in ((Broken, "station_invalid"), (Pair, "too_many")):
        (refusal,) = forecast(configuration, adapter).refusals
        assert (refusal.section, refusal.name, refusal.tag, refusal.code) == ("devices", "a", None, code)


def test_a_connection_whose_adapter_cannot_be_made(tiny, tmp_path):
    def refuse(connection):
        raise ConfigFault("no such serial port type", code="port_invalid")

    path = tmp_path / "plant.yaml"
    path.write_text("gateway: {id: x}\n" + serial(9600, "a"))
    found = forecast(tiny.load(path), refuse)
    assert [(one.section, one.name, one.tag) for one in found.refusals] == [("connections", "line", None)]
    assert found.connections == ()


def test_installed_adapters_are_found_by_manifest(tmp_path, monkeypatch):
    """A package with a manifest, as a third party would install it."""
    package = tmp_path / "paper_machine"
    package.mkdir()
    (package / "adapter.toml").write_text(
        'id = "paper"\ntitle = "Paper"\ntitle_zh = "纸"\nspec = "none"\ncapabilities = []\ntransports = ["tcp"]\n'
        'tier = "none"\nowner = "tests"\n'
    )
    (package / "__init__.py").write_text(
        "from gateway.sdk import AdapterModels, ConnectionConfig, DeviceConfig, Limits, Plan, TagConfig\n"
        "class Connection(ConnectionConfig):\n"
        "    @property\n"
        "    def endpoint(self): return 'paper'\n"
        "class Adapter:\n"
        "    limits = Limits()\n"
        "    def plan(self, device, tags): return Plan([], turnarounds=2)\n"
        "models = AdapterModels(Connection, DeviceConfig, TagConfig)\n"
        "def adapter(connection): return Adapter()\n"
    )
    from gateway.sdk import manifest

    monkeypatch.syspath_prepend(tmp_path)
    found = {"paper": manifest.Manifest.read(package / "adapter.toml", "paper_machine")}
    monkeypatch.setattr("gateway.sdk.manifest.manifests", lambda: found)
    monkeypatch.setattr("gateway.collect.forecast.manifests", lambda: found)
    path = tmp_path / "plant.yaml"
    path.write_text(
        "gateway: {id: x}\nconnections: {line: {adapter: paper}}\n"
        "devices: {a: {connection: line, tags: [{name: t, type: int16}]}}\n"
    )
    configuration = plain_load(path, manifest.adapter_models, manifest.adapter_models)
    assert type(installed_adapter(configuration.connections["line"])).__name__ == "Adapter"
    assert forecast(configuration).connections[0].seconds == pytest.approx(2 * ANSWER_TIME)
