"""A judge must catch what is wrong: every kind of loss, damage and repetition is shown to it, and it must say so."""

from fractions import Fraction

import msgspec
import numpy as np
import pytest

from benchmarks.pattern import Pattern, Scoreboard
from benchmarks.verify import Verifier
from gateway.model.batch import Gap, encode_body
from gateway.model.frame import Frame, FrameFlag
from gateway.model.schema import Layout, Scale, schema_id
from gateway.model.types import DataType

WIDTH = 125


class Feed:
    """Reads the pattern as devices would serve it and sends what a gateway would, or something worse."""

    def __init__(self, folder, devices=3, registers=250, change=Fraction(1), factor=0.1) -> None:
        self.pattern = Pattern(devices, registers, change)
        self.board = Scoreboard(folder / "board", self.pattern, create=True)
        self.verifier = Verifier(self.pattern, Scoreboard(folder / "board", self.pattern))
        self.tally = self.verifier.tally
        names = [f"r{number}" for number in range(registers)]
        layout = Layout([DataType.UINT16] * registers)
        self.schemas = []
        for device in range(devices):
            encoded = layout.schema(f"d{device}", "g", names, [Scale.of(factor)] * registers, [""] * registers).encode()
            self.schemas.append(schema_id(encoded))
            self.verifier.schema(schema_id(encoded).hex(), encoded)
        self.seq = 0
        self.before: dict[int, np.ndarray] = {}

    def read(self, device: int) -> np.ndarray:
        """One poll, as served: counts go up."""
        blocks = device * self.pattern.blocks + np.arange(self.pattern.blocks)
        self.board.served[blocks] += 1
        count = int(self.board.served[blocks[0]])
        self.board._times[device, count % Scoreboard.RING] = count * 1000
        return self.pattern.values(blocks, self.board.served[blocks]).ravel()

    def whole(self, device: int) -> Frame:
        values = self.before[device] = self.read(device)
        return Frame(self.schemas[device], 500, [values.astype("<u2").tobytes()])

    def report(self, device: int, leave_out=0) -> Frame:
        values = self.read(device)
        index = np.flatnonzero(values != self.before[device])
        if leave_out:
            index = np.delete(index, np.flatnonzero(index % self.pattern.width != 0)[:leave_out])
        self.before[device] = values
        return Frame(self.schemas[device], 500, [values[index].astype("<u2").tobytes()], index.astype("<u2").tobytes())

    def send(self, *frames, gaps=(), seq=None) -> None:
        if seq is None:
            self.seq += 1
            seq = self.seq
        message = (1, "plant", 1, seq, 0, 1, encode_body(frames, gaps))
        self.verifier.data(msgspec.msgpack.encode(message), 1_000_000, 10)


def test_all_that_was_served_and_sent_is_right(tmp_path):
    feed = Feed(tmp_path)
    for _ in range(300):
        feed.send(*(feed.whole(device) for device in range(3)))
    assert (feed.tally.points, feed.tally.wrong, feed.tally.duplicated) == (300 * 750, 0, 0)
    assert feed.verifier.loss() == (0, [])
    assert feed.verifier.holes() == []
    assert (feed.tally.batches, feed.tally.frames, feed.tally.wire_bytes) == (300, 900, 3000)
    assert feed.tally.notes == []


def test_ages_since_stamp_and_since_answer(tmp_path):
    feed = Feed(tmp_path)
    feed.send(feed.whole(0), feed.whole(0))
    stamps, answers, _ = feed.verifier.ages[0]
    assert stamps.tolist() == [999_500, 999_500]
    assert answers.tolist() == [999_000, 998_000]


def test_one_wrong_value_is_found(tmp_path):
    feed = Feed(tmp_path)
    feed.send(feed.whole(0))
    frame = feed.whole(1)
    raw = bytearray(frame.columns[0])
    raw[2 * 140] ^= 1
    feed.send(msgspec.structs.replace(frame, columns=[bytes(raw)]))
    assert feed.tally.wrong == 1
    assert "block 3 at count 1" in feed.tally.notes[0]


def test_a_value_shifted_by_one_register_is_found(tmp_path):
    feed = Feed(tmp_path)
    frame = feed.whole(0)
    feed.send(msgspec.structs.replace(frame, columns=[frame.columns[0][2:] + frame.columns[0][:2]]))
    assert feed.tally.wrong > 240


def test_values_of_another_device_are_found(tmp_path):
    feed = Feed(tmp_path)
    frame = feed.whole(0)
    feed.read(1)
    feed.send(msgspec.structs.replace(frame, schema=feed.schemas[1]))
    assert feed.tally.wrong > 240


def test_a_frame_that_is_too_short_is_wrong(tmp_path):
    feed = Feed(tmp_path)
    frame = feed.whole(0)
    feed.send(msgspec.structs.replace(frame, columns=[frame.columns[0][:-2]]))
    assert feed.tally.wrong == 249


def test_a_lost_poll_is_found_with_its_time(tmp_path):
    feed = Feed(tmp_path)
    for turn in range(10):
        frames = [feed.whole(device) for device in range(3)]
        feed.send(*(frames if turn not in (3, 4) else frames[:2]))
    assert feed.verifier.loss() == (500, [(2, 4, 5, 4000, 5000)])


def test_the_last_poll_is_not_judged(tmp_path):
    feed = Feed(tmp_path)
    feed.send(feed.whole(0))
    feed.whole(0)
    assert feed.verifier.loss() == (0, [])


def test_a_device_that_never_arrived_is_lost(tmp_path):
    feed = Feed(tmp_path)
    for _ in range(4):
        feed.whole(1)
    assert feed.verifier.loss() == (750, [(1, 1, 3, 1000, 3000)])


def test_a_batch_that_came_twice_is_a_marked_duplicate(tmp_path):
    feed = Feed(tmp_path)
    frame = feed.whole(0)
    feed.send(frame, gaps=[Gap("restart", 1, 2)])
    feed.send(frame, gaps=[Gap("restart", 1, 2)], seq=1)
    assert (feed.tally.duplicated, feed.tally.repeated) == (250, 250)
    assert len(feed.verifier.gaps) == 1
    feed.send(frame, frame)
    assert (feed.tally.duplicated, feed.tally.repeated) == (750, 250)


def test_the_same_frame_twice_in_one_batch_is_a_duplicate(tmp_path):
    feed = Feed(tmp_path)
    frame = feed.whole(0)
    feed.send(frame, frame)
    assert (feed.tally.duplicated, feed.tally.repeated) == (250, 0)


def test_holes_in_the_numbering(tmp_path):
    feed = Feed(tmp_path)
    for seq in (1, 2, 5):
        feed.send(feed.whole(0), seq=seq)
    assert feed.verifier.holes() == [(1, 3), (1, 4)]


def test_more_counts_than_fit_at_first_and_beyond_sixteen_bits(tmp_path):
    feed = Feed(tmp_path, devices=1)
    feed.send(feed.whole(0))
    feed.board.served[:] = 70_000
    feed.send(feed.whole(0))
    assert feed.tally.wrong == 0
    lost, runs = feed.verifier.loss()
    assert (lost, [run[1:3] for run in runs]) == (69_999 * 250, [(2, 70_000)])


@pytest.mark.parametrize(
    ("registers", "change"), [(250, Fraction(1, 100)), (20, Fraction(1, 100)), (20, Fraction(1, 2))]
)
def test_reports_by_exception(tmp_path, registers, change):
    feed = Feed(tmp_path, registers=registers, change=change)
    feed.send(*(feed.whole(device) for device in range(3)))
    for _ in range(400):
        reports = [feed.report(device) for device in range(3)]
        feed.send(*(report for report in reports if report.columns[0]))
    assert (feed.tally.wrong, feed.tally.omitted, feed.tally.duplicated) == (0, 0, 0)
    assert feed.verifier.loss() == (0, [])
    assert feed.tally.points == pytest.approx(3 * registers * (1 + 400 * change), rel=0.01)


def test_a_change_left_out_of_a_report_is_lost(tmp_path):
    feed = Feed(tmp_path, change=Fraction(1, 10))
    feed.send(feed.whole(0))
    feed.send(feed.report(0))
    feed.send(feed.report(0, leave_out=2))
    feed.send(feed.report(0))
    feed.send(feed.report(0))
    assert (feed.tally.wrong, feed.tally.omitted) == (0, 2)
    assert feed.verifier.loss() == (2, [])


def test_a_lost_report_is_lost_once(tmp_path):
    feed = Feed(tmp_path, change=Fraction(1, 10))
    feed.send(feed.whole(0))
    lost = feed.report(0)
    for _ in range(3):
        feed.send(feed.report(0))
    assert feed.tally.wrong == 0
    assert feed.verifier.loss() == (len(lost.columns[0]) // 2, [(0, 2, 2, 2000, 2000)])


def test_backlog_behind_fresh_reports_is_checked_too(tmp_path):
    feed = Feed(tmp_path, change=Fraction(1, 10))
    feed.send(feed.whole(0))
    held, fresh = feed.report(0), feed.report(0)
    feed.send(fresh)
    feed.send(held)
    feed.send(feed.report(0))
    assert (feed.tally.wrong, feed.tally.duplicated) == (0, 0)
    assert feed.verifier.loss() == (0, [])


def test_a_wrong_value_in_a_report(tmp_path):
    feed = Feed(tmp_path, change=Fraction(1, 10))
    feed.send(feed.whole(0))
    report = feed.report(0)
    raw = np.frombuffer(report.columns[0], "<u2").copy()
    raw[3] += 1
    feed.send(msgspec.structs.replace(report, columns=[raw.tobytes()]))
    assert feed.tally.wrong == 1


def test_bad_values_are_counted_apart(tmp_path):
    feed = Feed(tmp_path, change=Fraction(1, 10))
    feed.send(feed.whole(0))
    values = feed.read(0)
    quality = bytes(125) + b"\x81" * 125
    values[125:] = 0
    feed.send(Frame(feed.schemas[0], 500, [values.astype("<u2").tobytes()], None, quality))
    assert (feed.tally.bad_quality, feed.tally.wrong, feed.tally.points) == (125, 0, 250 + 125)


def test_values_without_their_marker_cannot_be_placed(tmp_path):
    feed = Feed(tmp_path)
    feed.send(feed.whole(0))
    values = feed.read(0)[1:3]
    feed.send(Frame(feed.schemas[0], 500, [values.astype("<u2").tobytes()], np.array([1, 2], "<u2").tobytes()))
    assert feed.tally.wrong == 2
    feed.send(Frame(feed.schemas[0], 500, [values.astype("<u2").tobytes()], np.array([1], "<u2").tobytes()))
    assert feed.tally.wrong == 4


def test_confirmations_are_no_values(tmp_path):
    feed = Feed(tmp_path)
    feed.send(Frame(feed.schemas[0], 500, [b""], None, None, None, FrameFlag.CONFIRMED))
    assert (feed.tally.confirmations, feed.tally.points) == (1, 0)


def test_nothing_changes_and_nothing_is_lost(tmp_path):
    feed = Feed(tmp_path, change=Fraction(0))
    feed.send(feed.whole(0))
    for _ in range(5):
        feed.read(0)
    assert feed.verifier.loss() == (0, [])


@pytest.mark.parametrize("factor", [0.01, 1.0, 0.10000001])
def test_a_schema_with_the_wrong_factor_is_wrong(tmp_path, factor):
    feed = Feed(tmp_path, factor=factor)
    assert feed.tally.wrong == 3
    feed.send(feed.whole(0))
    assert feed.tally.unreadable == 1


def test_a_schema_under_a_foreign_name_is_wrong(tmp_path):
    feed = Feed(tmp_path)
    feed.verifier.schema("00" * 8, b"\x80")
    assert feed.tally.wrong == 1


def test_tags_in_another_order_are_placed_by_name(tmp_path):
    feed = Feed(tmp_path)
    layout = Layout([DataType.UINT16] * 250)
    names = [f"r{number}" for number in reversed(range(250))]
    encoded = layout.schema("d0", "g", names, [Scale.of(0.1)] * 250, [""] * 250).encode()
    feed.verifier.schema(schema_id(encoded).hex(), encoded)
    values = feed.read(0)[::-1]
    feed.send(Frame(schema_id(encoded), 500, [values.astype("<u2").tobytes()]))
    assert (feed.tally.points, feed.tally.wrong) == (250, 0)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x01", msgspec.msgpack.encode((2, "g", 1, 1, 0, 1, b"")),
                                     msgspec.msgpack.encode((1, "g", 1, 1, 0, 1, b"no zstd"))])  # fmt: skip
def test_unreadable_messages_are_counted(tmp_path, payload):
    feed = Feed(tmp_path)
    feed.verifier.data(payload, 1)
    assert feed.tally.unreadable == 1
