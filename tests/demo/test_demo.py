"""The demonstration as a user runs it: real processes, real sockets, and an exit code that can be trusted."""

import asyncio
import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from gateway.cli import demo
from gateway.cli.demo import DEFAULT, Summary, demonstrate, plant
from gateway.cli.view import Received
from gateway.model.faults import LinkLost
from gateway.testing.subscriber import Subscriber

COMMAND = [sys.executable, "-c", "from gateway.cli import main; main()", "demo"]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=100, check=False)


def children_of(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def numbers(text):
    return {name: int(value.replace(",", "")) for name, value in re.findall(r"^([a-z ]+?) {2,}([\d,]+)", text, re.M)}


def test_ends_by_itself_with_one_summary():
    done = run("--for", "4s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.count("points read") == 1
    counted = numbers(done.stdout)
    assert counted["points read"] > 300
    assert counted["values delivered"] >= 99
    assert counted["batches delivered"] > 5
    assert counted["lost"] == counted["duplicates"] == 0


def test_without_a_terminal_it_says_now_and_then_how_it_goes_until_it_is_told_to_stop():
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline(), process.stdout.readline()]
            children = children_of(process.pid)
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert all("values/s read" in line for line in lines)
    assert "6 of 6 up" in lines[1]
    assert numbers(rest)["lost"] == 0
    assert len(children) == 2  # broker and plant
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def test_on_a_terminal_it_is_live_and_leaves_the_screen_as_it_was():
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "110", "LINES": "34"}
    with subprocess.Popen(
        [*COMMAND, "--for", "4s"], stdin=slave, stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 65536):
                shown += chunk
        except OSError:
            pass  # the terminal is closed when the last process has left it
        assert process.wait(30) == 0
    os.close(master)
    text = shown.decode()
    live, _, after = text.partition("\x1b[?1049l")
    for word in ("星沙 Xingsha Gateway", "6 of 6 up", "compressor-1", "batches delivered", "left", "force"):
        assert word in live
    assert "points read" in after
    assert "points read" not in live


def test_when_killed_its_children_go_too():
    with subprocess.Popen([*COMMAND, "--for", "60s"], stdout=subprocess.DEVNULL) as process:
        children = until(lambda: len(found := children_of(process.pid)) == 2 and found)
        process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def test_the_summary_decides_the_exit_code():
    good = Summary(10.0, 6, 1000, 12, Received(12, 400))
    assert good.good
    assert not Summary(10.0, 6, 1000, 13, Received(12, 400)).good
    assert not Summary(10.0, 6, 1000, 12, Received(12, 400, lost=1)).good
    assert not Summary(10.0, 6, 0, 0, Received()).good
    lines = str(Summary(10.0, 6, 12_345, 15, Received(12, 400, 1, 2, 3))).splitlines()
    assert lines == [
        "points read        12,345 from 6 devices in 10 s",
        "values delivered   400, those that changed",
        "batches delivered  12 of 15 committed",
        "lost               3",
        "duplicates         2",
        "gaps declared      3",
    ]


def test_a_batch_that_never_arrives_is_counted_as_lost(monkeypatch):
    class Forgetful(Subscriber):
        """Loses the fourth message with data, as a broken platform might."""

        seen = 0

        def _take(self, message):
            if message.topic.matches("xingsha/v1/+/data"):
                self.seen += 1
                if self.seen == 4:
                    return
            super()._take(message)

    monkeypatch.setattr(demo, "Subscriber", Forgetful)
    monkeypatch.setattr(demo, "_SETTLE", 0.5)
    summary = asyncio.run(demonstrate(DEFAULT, 3.0, 1, Console(file=io.StringIO())))
    assert summary.lost == 1
    assert not summary.good


def test_wrong_configuration_is_told_in_plain_words(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("gateway: {id: mine}\nconnections: {c: {adapter: modbus, hots: 127.0.0.1}}\n")
    done = run("--for", "1s", "--config", str(path))
    assert done.returncode == 1
    assert f"{path}:2:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plant_that_does_not_come_up_is_told(tmp_path):
    async def scene():
        async with plant(tmp_path / "none.yaml", 1):
            raise AssertionError("not reached")

    with pytest.raises(LinkLost, match="does not come up") as caught:
        asyncio.run(scene())
    assert caught.value.code == "plant_failed"
