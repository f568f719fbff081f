"""Topic filters: what is valid, what matches (an independent implementation agrees), what covers what."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from adapters.mqtt.topics import FilterTree, below, check_filter, covers, unshared

LEVEL = st.sampled_from(["a", "b", "", "$SYS", "c d"])
TOPICS = st.lists(LEVEL, min_size=1, max_size=5).map("/".join).filter(bool)


@st.composite
def filters(draw):
    levels = draw(st.lists(LEVEL | st.just("+"), min_size=1, max_size=4))
    return "/".join([*levels, "#"] if draw(st.booleans()) else levels) or "a"


@settings(deadline=None)
@given(st.lists(filters(), max_size=8), TOPICS)
def test_the_tree_finds_what_paho_finds(every, topic):
    tree = FilterTree()
    for number, topic_filter in enumerate(every):
        tree.add(topic_filter, number)
    expected = [number for number, topic_filter in enumerate(every) if topic_matches_sub(topic_filter, topic)]
    assert sorted(tree.match(topic)) == expected


@settings(deadline=None)
@given(filters(), filters(), TOPICS)
def test_what_is_covered_matches_too(wide, narrow, topic):
    if covers(wide, narrow) and not topic.startswith("$") and topic_matches_sub(narrow, topic):
        assert topic_matches_sub(wide, topic)


def test_covering():
    assert covers("a/#", "a")
    assert covers("a/#", "a/+/c")
    assert covers("a/+", "a/b")
    assert covers("+/+", "a/+")
    assert not covers("a/+", "a/#")
    assert not covers("a/b", "a/+")
    assert not covers("a", "a/b")
    assert not covers("a/b", "a")


@pytest.mark.parametrize("text", ["a", "a/b", "+", "#", "a/+/b/#", "/", "$share/g/a/#", "$SYS/broker", "a//b"])
def test_valid_filters(text):
    assert check_filter(text) == text


@pytest.mark.parametrize(
    "text", ["", "a#", "#/a", "a/b#", "a+", "+a/b", "a\nb", "a\0", "x" * 1025, "$share/g", "$share//a", "$share/+/a"]
)
def test_invalid_filters(text):
    with pytest.raises(ValueError):
        check_filter(text)


def test_shared_and_below():
    assert unshared("$share/g/a/#") == "a/#"
    assert unshared("a/b") == "a/b"
    assert below("a/b", "c/+") == "a/b/c/+"
    assert below("a/b/#", "c") == "a/b/c"
    assert below("#", "c") == "c"
