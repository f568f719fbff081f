"""The frame of the command: what is listed, what is imported when, and how every error reaches a person."""

import errno
import json
import os

import pytest

from gateway.cli import app as frame
from gateway.cli.errors import FAILED, INTERRUPTED, explain, report, speaks_chinese
from gateway.model.faults import ConfigFault, Fault, LinkLost
from gateway.sdk.manifest import manifests


def called(*arguments):
    with pytest.raises(SystemExit) as ended:
        frame.main(list(arguments))
    return ended.value.code


LIST_MODULES = """
import atexit, sys
atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
from gateway.cli import main
main()
"""


def test_help_lists_every_command_with_its_line(capsys):
    assert called("--help") == 0
    shown = capsys.readouterr().out
    for name, (_, line) in frame.COMMANDS.items():
        assert [text for text in shown.splitlines() if text.split()[:1] == [name] and line in text], name


def test_help_imports_no_command_and_nothing_heavy(xingsha):
    result = xingsha("--help", code=LIST_MODULES)
    modules = set(result.stderr.split())
    assert result.returncode == 0
    assert {name for name in modules if name.startswith("gateway.cli.")} == {"gateway.cli.app"}
    assert modules & {"pydantic", "numpy", "rich.console", "uvicorn", "starlette", "aiomqtt"} == set()


def test_a_command_imports_its_own_module_only_and_no_adapter(xingsha):
    result = xingsha("adapters", "--json", code=LIST_MODULES)
    modules = set(result.stderr.split())
    assert result.returncode == 0
    assert {name for name in modules if name.startswith("gateway.cli.")} == {
        "gateway.cli.app", "gateway.cli.adapters", "gateway.cli.errors",
    }  # fmt: skip
    assert {name for name in modules if name.startswith("adapters.")} == set()


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_every_command_is_there_and_explains_itself(name, capsys):
    assert called(name, "--help") == 0
    shown = capsys.readouterr().out
    assert f"xingsha {name}" in shown
    assert len(shown.splitlines()) > 5


def test_version(capsys):
    assert called("--version") == 0
    assert capsys.readouterr().out == f"xingsha {frame.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rum"], "Did you mean 'run'"),
        (["no-such-thing"], "No such command 'no-such-thing'"),
        (["adapters", "--jsn"], "--jsn"),
        (["run"], "Missing argument 'CONFIG'"),
        (["run", "x.yaml", "--drain", "10"], "a duration with its unit"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, said, capsys):
    assert called(*arguments) == 2
    assert said in capsys.readouterr().err


def test_no_command_shows_help(capsys):
    assert called() == 2
    captured = capsys.readouterr()
    assert "Commands:" in captured.out + captured.err


def test_a_fault_is_a_line_a_remedy_and_exit_code_1(capsys):
    assert report(LinkLost("press-1: 10.0.0.5:502 refused", code="connection_refused")) == FAILED
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error [connection_refused]: press-1: 10.0.0.5:502 refused"
    assert second.startswith("  Check the port number")


def test_many_errors_are_all_told_and_the_remedy_once():
    lines = explain(ConfigFault("a.yaml:1:2: x: expected y\na.yaml:3:4: z: expected w"))
    assert lines[:2] == [
        "error [config_invalid]: a.yaml:1:2: x: expected y",
        "error [config_invalid]: a.yaml:3:4: z: expected w",
    ]
    assert len(lines) == 3


def test_a_group_of_faults_is_told_one_by_one(capsys):
    group = ExceptionGroup("tasks", [ConfigFault("one"), ExceptionGroup("inner", [OSError(errno.ENOSPC, "No space")])])
    assert report(group) == FAILED
    shown = capsys.readouterr().err
    assert "error [config_invalid]: one\n" in shown
    assert "error [disk_full]: No space\n" in shown


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x.yaml"),
         "error [file_missing]: /x.yaml: No such file or directory"),
        (PermissionError(13, "Permission denied", "/x"), "error [file_denied]: /x: Permission denied"),
        (IsADirectoryError(21, "Is a directory", "/x"), "error [file_unsuitable]: /x: Is a directory"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "error [port_in_use]: Address already in use"),
        (OSError(errno.EIO, "Input/output error"), "error [system_error]: Input/output error"),
        (OSError(errno.EACCES, "Permission denied"), "error [address_unusable]: Permission denied"),
        (OSError("odd"), "error [system_error]: odd"),
        (Fault("a fault", code="not_in_catalogue"), "error [not_in_catalogue]: a fault"),
        (ModuleNotFoundError("no", name="iotcore"), "error [extra_missing]: the module iotcore is not installed"),
    ],
)  # fmt: skip
def test_errors_by_code(error, line):
    assert explain(error)[0] == line


@pytest.mark.parametrize("error", [ZeroDivisionError("division\nby zero"), ModuleNotFoundError("x", name="gateway.x")])
def test_a_bug_says_that_it_is_one(error, capsys):
    assert report(error) == FAILED
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error [bug]: {type(error).__name__}: ")
    assert "please report" in second


def test_a_traceback_is_shown_only_to_who_asks(monkeypatch, capsys):
    def broken(_name):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(frame, "load_command", broken)
    assert called("run") == 1
    assert "Traceback" not in capsys.readouterr().err
    assert called("--debug", "run") == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("XINGSHA_DEBUG", "1")
    assert called("run") == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("XINGSHA_DEBUG", "0")
    assert called("run") == 1
    assert "Traceback" not in capsys.readouterr().err


def test_interrupted_is_130(monkeypatch, capsys):
    def interrupted(_name):
        raise KeyboardInterrupt

    monkeypatch.setattr(frame, "load_command", interrupted)
    assert called("run") == 130
    assert report(BaseExceptionGroup("tasks", [KeyboardInterrupt()])) == INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


def test_the_remedy_speaks_chinese_where_the_machine_does(monkeypatch):
    assert not speaks_chinese()
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert "端口" in explain(OSError(errno.EADDRINUSE, "x"))[1]
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert not speaks_chinese()


def test_a_closed_pipe_is_no_error(xingsha):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        result = xingsha("--help", stdout=closed)
    assert "Traceback" not in result.stderr
    assert result.returncode == 1


def test_adapters_as_a_table_and_for_programs(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "600")
    assert called("adapters", "--json") == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["id"] for record in records] == sorted(manifests())
    assert called("adapters") == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["id", "title", "spec", "can", "over", "tier"]
    for record in records:
        assert record["title"] in shown
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert called("adapters") == 0
    shown = capsys.readouterr().out
    for record in records:
        assert record["title_zh"] in shown
