import asyncio
import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.observe import log


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def stream():
    yield io.StringIO()
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in [found for found in root.handlers if type(found).__module__ == "gateway.observe.log"]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_away_from_a_terminal(stream):
    log.configure("info", "auto", stream=stream)
    structlog.get_logger().info("device_down", device="press-1", code="no_answer", text="压力机")
    (line,) = lines(stream)
    assert line["event"] == "device_down"
    assert line["level"] == "info"
    assert line["device"] == "press-1"
    assert line["timestamp"].endswith("Z")
    assert "压力机" in stream.getvalue(), "text stays readable, it is not escaped to ASCII"


def test_text_on_a_terminal_and_when_told():
    for stream, shape in ((Terminal(), "auto"), (io.StringIO(), "text")):
        log.configure("info", shape, stream=stream)
        structlog.get_logger().info("device_up", device="press-1")
        assert "device_up" in stream.getvalue()
        with pytest.raises(json.JSONDecodeError):
            json.loads(stream.getvalue())
    assert "\x1b[" not in stream.getvalue(), "no colours away from a terminal"
    structlog.reset_defaults()


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_level(stream, level, seen):
    log.configure(level, "json", stream=stream)
    logger = structlog.get_logger()
    logger.debug("a")
    logger.info("b")
    logger.warning("c")
    logger.error("d")
    assert len(lines(stream)) == seen


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "s3cr3t!"},
        {"mqtt": {"user": "plant", "Password": "s3cr3t!"}},
        {"options": [{"api_key": "s3cr3t!"}, {"auth": {"refresh_token": "s3cr3t!"}}]},
        {"url": "mqtts://plant:s3cr3t!@broker:8883/x"},
        {"message": "connect failed: mqtt://plant:s3cr3t!@10.0.0.5:1883 refused"},
        {"message": "bad option password=s3cr3t! in line 3"},
        {"message": "{'user': 'plant', 'password': 's3cr3t!'}"},
        {"secret": SecretStr("s3cr3t!")},
        {"value": SecretStr("s3cr3t!")},
        {"error": ValueError("token: s3cr3t!")},
        {"Authorization": "Basic s3cr3t!"},
    ],
)
@pytest.mark.parametrize("shape", ["text", "json"])
def test_no_secret_is_logged(stream, fields, shape):
    log.configure("info", shape, stream=stream)
    structlog.get_logger().info("lane_lost", **fields)
    assert "lane_lost" in stream.getvalue()
    assert "s3cr3t" not in stream.getvalue()


def test_no_secret_in_a_traceback(stream):
    log.configure("info", "json", stream=stream)
    try:
        raise ValueError("mqtt://plant:s3cr3t@broker refused")
    except ValueError:
        structlog.get_logger().exception("lane_failed")
    (line,) = lines(stream)
    assert "ValueError: mqtt://***@broker refused" in line["exception"]


def test_what_is_no_secret_stays(stream):
    log.configure("info", "json", stream=stream)
    structlog.get_logger().info(
        "x", port=1883, up=True, none=None, ratio=0.5, url="mqtt://broker:1883/a@b", bytes=b"\x01\x03", ids={"a"}
    )
    (line,) = lines(stream)
    del line["timestamp"], line["level"], line["event"]
    assert line == {
        "port": 1883, "up": True, "none": None, "ratio": 0.5, "url": "mqtt://broker:1883/a@b", "bytes": "01 03",
        "ids": ["a"],
    }  # fmt: skip


def test_long_and_deep_fields_are_cut(stream):
    log.configure("info", "json", stream=stream)
    deep: dict[str, object] = {}
    deep["self"] = deep
    structlog.get_logger().info("x", text="a" * 100_000, deep=deep)
    assert len(stream.getvalue()) < 6000


@given(st.text(min_size=1))
def test_a_text_line_is_one_line_whatever_a_device_says(said):
    stream = io.StringIO()
    log.configure("info", "text", stream=stream)
    structlog.get_logger().info("device_down", message=said)
    structlog.reset_defaults()
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_the_room_that_speaks_is_named(stream):
    log.configure("info", "json", stream=stream)
    structlog.get_logger("collect").info("device_up")
    structlog.get_logger().info("other")
    named, other = lines(stream)
    assert named["room"] == "collect"
    assert "room" not in other


def test_libraries_log_into_the_same_stream_once(stream):
    log.configure("info", "json", stream=stream)
    log.configure("info", "json", stream=stream)
    logging.getLogger("some.library").warning("took %d s, password=%s", 3, "s3cr3t")
    logging.getLogger("some.library").info("not of interest")
    (line,) = lines(stream)
    assert line["logger"] == "some.library"
    assert line["level"] == "warning"
    assert line["text"] == "took 3 s, password=***"


def test_a_task_that_nobody_awaited_is_told(stream):
    log.configure("info", "json", stream=stream)

    async def main():
        asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": ValueError("why")})

    asyncio.run(main())
    (line,) = lines(stream)
    assert line["logger"] == "asyncio"
    assert "ValueError: why" in line["exception"]
