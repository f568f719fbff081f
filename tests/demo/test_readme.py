"""What the README tells people to type works: its configuration loads, its commands and links exist, in both languages."""

import re

import pytest

from gateway.cli.app import COMMANDS
from gateway.config.loader import load
from gateway.sdk.manifest import adapter_models
from gateway.sinks import sink_model

LANGUAGES = ("README.md", "README.zh-CN.md")


@pytest.fixture(params=LANGUAGES)
def readme(request, repository):
    return (repository / request.param).read_text("utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_configuration_loads(readme, tmp_path):
    (text,) = blocks(readme, "yaml")
    (tmp_path / "my.yaml").write_text(text, "utf-8")
    configuration = load(tmp_path / "my.yaml", adapter_models, sink_model)
    assert [tag.name for tag in configuration.devices["meter-1"].tags] == ["voltage", "power", "energy"]
    assert set(configuration.lanes) == {"platform"}


def test_commands_scripts_and_links_exist(readme, repository):
    shell = "\n".join(blocks(readme, "sh"))
    assert {"check", "sim", "probe", "read", "run"} <= set(re.findall(r"^xingsha (\w+)", shell, re.MULTILINE))
    assert set(re.findall(r"\bxingsha (\w+)", shell)) <= set(COMMANDS)
    for script in re.findall(r"script/\w+", readme):
        assert (repository / script).exists(), script
    for link in re.findall(r"\]\(([^)#]+)\)", readme):
        assert (repository / link).exists(), link


def test_both_languages_show_the_same(repository):
    english, chinese = ((repository / name).read_text("utf-8") for name in LANGUAGES)
    assert blocks(english, "text") == blocks(chinese, "text")
    shells = [
        [re.sub(r" *#.*", "", line) for line in "".join(blocks(text, "sh")).splitlines()] for text in (english, chinese)
    ]
    assert shells[0] == shells[1]
    assert english.count("\n## ") == chinese.count("\n## ")
