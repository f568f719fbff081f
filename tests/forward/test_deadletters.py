"""Dead letters on disk: whole or not at all, bounded, readable without the bus, damage named."""

from __future__ import annotations

import msgspec
import pytest

from gateway.forward.deadletters import DeadLetter, Spool, read_letter, write_letter
from gateway.forward.payload import Poison
from gateway.model.batch import decode_body
from tests.forward import vectors

SCHEMAS = {vectors.PRESS_ID: vectors.PRESS.encode(), vectors.LIMITS_ID: vectors.LIMITS.encode()}
BATCH = vectors.batch(5, [vectors.WHOLE, vectors.EXTREMES], [vectors.GAP])


def letter(seq: int = 5, **more) -> DeadLetter:
    return write_letter(
        "gw", "cloud", msgspec.structs.replace(BATCH, seq=seq), SCHEMAS, code="payload_refused", reason="no", **more
    )


def test_a_whole_batch_comes_back_as_it_was(tmp_path):
    spool = Spool(tmp_path / "not" / "there" / "yet")
    assert spool.put(letter())
    (path,) = spool.paths()
    found = read_letter(path)
    assert found == letter().__class__(found.header, BATCH.body)
    assert set(found.batch().schemas) == set(SCHEMAS)
    assert msgspec.structs.replace(found.batch(), schemas=BATCH.schemas) == BATCH
    assert found.schemas() == SCHEMAS
    assert (found.header.code, found.header.reason, found.header.whole) == ("payload_refused", "no", True)
    assert [one.name for one in spool.folder.iterdir()] == [path.name]


def test_some_frames_of_a_batch_with_only_the_schemas_they_need():
    found = letter(poison=[Poison(vectors.WHOLE, 5, "value_too_large", "big")])
    assert decode_body(found.body).frames == [vectors.WHOLE]
    assert decode_body(found.body).gaps == []
    assert (found.header.frames, found.header.points, found.header.whole) == (1, 5, False)
    assert set(found.schemas()) == {vectors.PRESS_ID}


def test_bounded_in_files_and_bytes(tmp_path):
    spool = Spool(tmp_path, most_files=2)
    assert [spool.put(letter(seq)) for seq in (1, 2, 3)] == [True, True, False]
    assert len(spool.paths()) == 2
    spool.paths()[0].unlink()
    assert spool.put(letter(3))
    size = spool.paths()[0].stat().st_size
    small = Spool(tmp_path / "small", most_bytes=2 * size + 20)
    assert [small.put(letter(seq)) for seq in (1, 2, 3)] == [True, True, False]


def test_workers_that_share_a_folder_do_not_overwrite_each_other(tmp_path):
    first, second = Spool(tmp_path), Spool(tmp_path, mark="-2")
    assert first.put(letter(7))
    assert second.put(letter(7))
    assert second.put(letter(7)), "the same letter again"
    assert len(first.paths()) == len(second.paths()) == 2


def test_oldest_batch_first(tmp_path):
    spool = Spool(tmp_path)
    for seq in (100, 9, 20):
        spool.put(letter(seq))
    assert [found.header.seq for _, found in spool.letters() if isinstance(found, DeadLetter)] == [9, 20, 100]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "does not fit its digest"),
        (lambda data: data[:40], "not a dead letter"),
        (lambda data: b"", "not a dead letter"),
        (lambda data: b"\xff" + data, "not a dead letter"),
        (lambda data: data.replace(b'"format":1', b'"format":7'), "format 7"),
    ],
)
def test_damage_is_named_and_does_not_hide_the_others(tmp_path, change, words):
    spool = Spool(tmp_path)
    spool.put(letter(1))
    spool.put(letter(2))
    path = spool.paths()[0]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=words):
        read_letter(path)
    kinds = [type(found) for _, found in spool.letters()]
    assert kinds == [ValueError, DeadLetter]


def test_a_draft_left_by_a_crash_is_no_letter(tmp_path):
    spool = Spool(tmp_path)
    (tmp_path / "0000000001-0000000000000000001.tmp").write_bytes(b"half")
    assert spool.paths() == []
    assert spool.put(letter(1))
    assert len(spool.paths()) == 1
