"""What a sound configuration becomes: values, sharing between devices, what is disabled, secrets."""

import pytest

from gateway.config.errors import ConfigErrors, Refusal
from gateway.config.fields import Deadband
from gateway.config.loader import errors_at
from gateway.config.root import BusConfig, ObserveConfig
from gateway.model.faults import ConfigFault, Fault

HEAD = "gateway: {id: plant-1}\nconnections:\n  line: {adapter: tiny, host: 10.0.0.5}\n"
TAG = "{name: force, type: int16, word: 0}"


@pytest.fixture
def load(tiny, tmp_path):
    def write_and_load(text, **others):
        for name, content in others.items():
            (tmp_path / name).write_text(content, "utf-8")
        (tmp_path / "plant.yaml").write_text(text, "utf-8")
        return tiny.load(tmp_path / "plant.yaml")

    return write_and_load


def errors(load, text, **others):
    with pytest.raises(ConfigErrors) as caught:
        load(text, **others)
    return [str(error).partition("plant.yaml:")[2] or str(error) for error in caught.value.errors]


def test_the_least_there_can_be(load, tmp_path):
    found = load("gateway: {id: plant-1}")
    assert (found.gateway.id, found.folder) == ("plant-1", tmp_path)
    assert (found.bus, found.observe) == (BusConfig(), ObserveConfig())
    assert found.connections == found.devices == found.lanes == found.sinks == {}


def test_everything_is_typed_in_the_order_of_the_file(load, tiny):
    found = load(
        HEAD
        + f"""
devices:
  press-2: {{connection: line, station: 2, scan: 250ms, tags: [{TAG}, {{name: way, type: float32, word: 1, deadband: 1%}}]}}
  press-1: {{connection: line, station: 1, tags: [{TAG}]}}
lanes:
  cloud: {{sink: mqtt, to: {{host: broker, password: "${{file:pass}}"}}, order: fresh_first}}
bus: {{limit: 2GiB, retain: 7d}}
""",
        **{"pass": "s3cret pass\n"},
    )
    assert list(found.devices) == ["press-2", "press-1"]
    press = found.devices["press-2"]
    assert type(press.config) is tiny.adapters["tiny"].device
    assert (press.config.scan, press.config.station) == (0.25, 2)
    assert [(tag.name, tag.deadband) for tag in press.tags] == [("force", Deadband()), ("way", Deadband(percent=1))]
    assert (found.bus.limit, found.bus.retain) == (2 << 30, 7 * 86_400)
    assert found.sinks["cloud"].password.get_secret_value() == "s3cret pass"
    assert found.lanes["cloud"].to is found.sinks["cloud"]
    assert "s3cret" not in repr(found)


def test_devices_of_a_profile_share_its_tags(load):
    found = load(
        HEAD
        + """
profiles:
  press:
    adapter: tiny
    scan: 5s
    tags: [{name: force, type: int16, word: 0}, {name: way, type: int16, word: 1}]
devices:
  press-1: {connection: line, station: 1, profile: press}
  press-2: {connection: line, station: 2, profile: press, scan: 1s}
  press-3: {connection: line, station: 3, profile: press, tags: [{name: oil, type: int16, word: 9}]}
"""
    )
    one, two, three = found.devices.values()
    assert one.tags is two.tags
    assert [tag.name for tag in three.tags] == ["force", "way", "oil"]
    assert all(a is b for a, b in zip(one.tags, three.tags, strict=False))
    assert [device.config.scan for device in (one, two, three)] == [5.0, 1.0, 5.0]


def test_parameters_keep_their_type_or_become_text(load):
    found = load(
        HEAD
        + """
profiles:
  press:
    adapter: tiny
    params: {first: 10, site: , limit: 6300.5, hot: true, note: "$${x}"}
    station: ${first}
    tags:
      - {name: way, type: int16, word: 1, description: "${note}"}
      - {name: "${site}/${first}-${hot}-${limit}", type: int16, word: "${first}", range: [0, "${limit}"]}
      - {name: last, type: int16, word: 2}
devices:
  a: {connection: line, profile: press, params: {site: north}}
  b: {connection: line, profile: press, params: {site: north}, station: 3}
  c: {connection: line, profile: press, params: {site: south, first: 20, hot: false}}
"""
    )
    a, b, c = found.devices.values()
    assert [tag.name for tag in a.tags] == ["way", "north/10-true-6300.5", "last"]
    assert [tag.name for tag in c.tags] == ["way", "south/20-false-6300.5", "last"]
    assert (a.tags[1].word, a.tags[1].range, c.tags[1].word) == (10, (0, 6300.5), 20)
    assert a.tags[0].description == "${x}"
    assert a.tags is b.tags
    assert a.tags[2] is c.tags[2]
    assert [device.config.station for device in (a, b, c)] == [10, 3, 20]


def test_equal_looking_parameters_of_other_types_are_not_mixed_up(load):
    found = load(
        HEAD
        + """
profiles:
  press: {adapter: tiny, params: {x: 1}, tags: [{name: "n-${x}", type: int16, word: 1}]}
devices:
  a: {connection: line, station: 1, profile: press}
  b: {connection: line, station: 2, profile: press, params: {x: true}}
  c: {connection: line, station: 3, profile: press, params: {x: 1.0}}
"""
    )
    assert [device.tags[0].name for device in found.devices.values()] == ["n-1", "n-true", "n-1.0"]


def test_secrets_from_the_environment_stand_anywhere(load, monkeypatch):
    monkeypatch.setenv("LINE_HOST", "10.9.9.9")
    monkeypatch.setenv("LINE_PORT", "5021")
    monkeypatch.setenv("DEAD", "0.5")
    found = load(
        """
gateway: {id: plant-1}
connections:
  line: {adapter: tiny, host: "${env:LINE_HOST}.example", port: "${env:LINE_PORT}"}
devices:
  a: {connection: line, station: 1, tags: [{name: way, type: int16, word: 1, deadband: "${env:DEAD}"}]}
"""
    )
    assert found.connections["line"].endpoint == "tcp://10.9.9.9.example:5021"
    assert found.devices["a"].tags[0].deadband == Deadband(absolute=0.5)


def test_a_secret_is_not_shown_even_where_it_is_wrong(load, monkeypatch):
    monkeypatch.setenv("PIN", "hunter2-of-the-plant")
    told = errors(
        load,
        """
gateway: {id: plant-1, description: 5}
connections:
  line: {adapter: tiny, host: x, port: "${env:PIN}", timeout: "${env:PIN}"}
lanes:
  cloud: {sink: "${env:PIN}", to: {host: x}}
""",
    )
    assert len(told) == 4
    assert told[1].endswith("connections.line.port: expected a whole number; got ${env:PIN}")
    assert "hunter2" not in "".join(told)


def test_what_is_disabled_is_checked_and_left_out(load):
    found = load(
        HEAD
        + f"""
  spare: {{adapter: tiny, host: 10.0.0.5, enabled: false}}
devices:
  a: {{connection: line, station: 1, tags: [{TAG}]}}
  b: {{connection: line, station: 2, enabled: false, tags: [{TAG}]}}
  c: {{connection: spare, station: 3, tags: [{TAG}]}}
lanes:
  cloud: {{to: {{host: x}}, enabled: false}}
"""
    )
    assert (list(found.connections), list(found.devices), found.lanes, found.sinks) == (["line"], ["a"], {}, {})
    told = errors(load, HEAD + f"devices:\n  b: {{connection: line, station: 999, enabled: false, tags: [{TAG}]}}\n")
    assert told == ["5:34: devices.b.station: expected a value of at most 247; got 999"]


def test_included_files_add_entries(load):
    found = load(
        HEAD + "include: [more.yaml, '*.yaml']\ndevices:\n",
        **{
            "more.yaml": f"devices:\n  a: {{connection: line, station: 1, tags: [{TAG}]}}\n",
            "z.yaml": f"connections: {{other: {{adapter: tiny, host: x}}}}\ndevices:\n  b: {{connection: other, station: 1, tags: [{TAG}]}}\n",
            "empty.yaml": "",
        },
    )
    assert (list(found.connections), list(found.devices)) == (["line", "other"], ["a", "b"])


def test_an_interval_that_the_scan_rate_cannot_keep(load):
    told = errors(
        load,
        HEAD
        + """
profiles:
  press: {adapter: tiny, tags: [{name: way, type: int16, word: 1, max_interval: 2s}]}
devices:
  a: {connection: line, station: 1, profile: press}
  b: {connection: line, station: 2, profile: press, scan: 5s}
  c: {connection: line, station: 3, tags: [{name: way, type: int16, word: 1, scan: 1min, max_interval: 2s}]}
""",
    )
    assert told == [
        "6:81: profiles.press.tags[0].max_interval: expected at least the scan rate, here 5s; got 2s",
        "10:104: devices.c.tags[0].max_interval: expected at least the scan rate, here 1min; got 2s",
    ]


def test_a_resolver_without_known_names_speaks_for_itself(tmp_path, tiny):
    from gateway.config.loader import load as plain_load

    def nothing(name):
        raise ConfigFault(f"{name} needs the module tinylib: pip install it", code="extra_missing")

    path = tmp_path / "plant.yaml"
    path.write_text(
        "gateway: {id: x}\nconnections:\n  a: {adapter: tiny}\n  b: {adapter: tiny}\nlanes: {c: {to: {}}}\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        plain_load(path, nothing, nothing)
    assert [(error.path, error.code, error.got) for error in caught.value.errors] == [
        ("connections.a.adapter", "extra_missing", ""),
        ("connections.b.adapter", "extra_missing", ""),
        ("lanes.c.sink", "extra_missing", ""),
    ]
    assert isinstance(caught.value, Fault)


def test_a_main_file_that_is_not_there(tiny, tmp_path):
    with pytest.raises(ConfigErrors, match=r"nothing\.yaml: expected a file that can be read; got No such file"):
        tiny.load(tmp_path / "nothing.yaml")


def test_files_that_are_too_large_together(load, monkeypatch):
    monkeypatch.setattr("gateway.config.sources.MAX_BYTES", 300)
    big = f"devices:\n  a: {{connection: line, station: 1, tags: [{TAG}]}}\n" + "#" * 200
    assert errors(load, HEAD + "include: [big.yaml]\n", **{"big.yaml": big}) == [
        "4:11: include[0]: expected files of 0 MiB together; got more"
    ]


def test_a_secret_file_must_be_small_text(load, tmp_path):
    (tmp_path / "gbk").write_bytes("车间".encode("gbk"))
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    told = errors(load, 'gateway: {id: "${file:gbk}", description: "${file:big}"}\n')
    assert told == [
        "1:15: gateway.id: expected a file of text in UTF-8; got gbk, which is not",
        "1:43: gateway.description: expected a file of at most 64 KiB; got big, which is larger",
    ]


def test_errors_of_adapters_find_their_place(load, tmp_path):
    load(
        HEAD
        + """
profiles:
  press: {adapter: tiny, tags: [{name: way, type: int16, word: 1}]}
devices:
  a: {connection: line, station: 1, profile: press, tags: [{name: oil, type: int16, word: 20000}]}
"""
    )
    refusals = [
        Refusal("connections", "line", None, "no such line", "a"),
        Refusal("devices", "a", None, "no such device", "b"),
        Refusal("devices", "a", 0, "no such tag", "c"),
        Refusal("devices", "a", 1, "no such word", "d"),
    ]
    told = [str(error).partition("plant.yaml:")[2] for error in errors_at(tmp_path / "plant.yaml", refusals).errors]
    assert told == [
        "3:3: connections.line: no such line",
        "6:33: profiles.press.tags[0]: no such tag",
        "8:3: devices.a: no such device",
        "8:60: devices.a.tags[0]: no such word",
    ]


def test_an_unused_profile_is_checked_as_far_as_possible(load):
    told = errors(
        load,
        """
gateway: {id: plant-1}
profiles:
  press:
    adapter: tiny
    params: {must: , first: x}
    scan: 5
    heartbeat: ${must}
    station: ${first}
    tags:
      - {name: "${must}", type: int61, word: 0}
      - {name: way, type: int61, word: "${first}"}
""",
    )
    assert told == [
        "6:29: profiles.press.params.first: expected a whole number; got 'x'",
        "7:11: profiles.press.scan: expected a duration with its unit, such as 250ms, 1s, 5min, 72h or 7d; got 5",
        (
            "12:27: profiles.press.tags[1].type: expected one of bool, int8, uint8, int16, uint16, int32, uint32, int64, "
            "uint64, float32, float64, string, bytes; got 'int61' (nearest: int16)"
        ),
    ]


def test_many_tags_share_their_text(load):
    tags = "".join(f"      - {{name: t{n}, type: int16, word: {n}, unit: bar}}\n" for n in range(500))
    found = load(
        HEAD
        + "devices:\n"
        + "".join(f"  d{n}:\n    connection: line\n    station: {n}\n    tags:\n{tags}" for n in range(4))
    )
    assert sum(len(device.tags) for device in found.devices.values()) == 2000
    assert len({id(device.tags[7].name) for device in found.devices.values()}) == 1
