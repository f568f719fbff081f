"""Dead letters: what a platform would not take, kept in files with the reason, to be looked at and replayed.

One file per batch (or part of a batch): a line of JSON, then the body as it was committed. The schemas it needs are in
the header, so that a letter can still be read when the bus has long forgotten them. Bounded in files and in bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from gateway.forward.payload import Poison, Schemas
from gateway.model.batch import Batch, encode_body

FORMAT: Final = 1
SUFFIX: Final = ".dead"
_MOST_HEADER: Final = 64 * 1024 * 1024


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """First line of a letter."""

    format: int
    gateway: str
    lane: str
    epoch: int
    seq: int
    code: str
    """Stable reason code."""
    reason: str
    """The same in a sentence."""
    time: int
    """When it was set aside, ns since the Unix epoch."""
    frames: int
    points: int
    first_time: int
    last_time: int
    whole: bool
    """True: the whole batch; False: the frames of it that could not be sent."""
    schemas: dict[str, bytes]
    """Encoded schemas by id in hex."""
    digest: str
    """BLAKE2b-128 of the body, in hex."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A letter: its header and the body of the batch."""

    header: Header
    body: bytes

    def batch(self) -> Batch:
        """Return the batch as it was, for replay."""
        header = self.header
        return Batch(
            epoch=header.epoch,
            seq=header.seq,
            body=self.body,
            frames=header.frames,
            points=header.points,
            first_time=header.first_time,
            last_time=header.last_time,
            schemas=tuple(bytes.fromhex(identity) for identity in header.schemas),
        )

    def schemas(self) -> dict[bytes, bytes]:
        """Encoded schemas by id."""
        return {bytes.fromhex(identity): encoded for identity, encoded in self.header.schemas.items()}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Header)


def write_letter(
    gateway: str, lane: str, batch: Batch, schemas: Schemas, *, code: str, reason: str, poison: Sequence[Poison] = ()
) -> DeadLetter:
    """Make the letter of a batch, or, with ``poison``, of those frames of it."""
    body = encode_body([one.frame for one in poison]) if poison else batch.body
    needed = {one.frame.schema for one in poison} if poison else set(schemas)
    header = Header(
        format=FORMAT,
        gateway=gateway,
        lane=lane,
        epoch=batch.epoch,
        seq=batch.seq,
        code=code,
        reason=reason,
        time=time.time_ns(),
        frames=len(poison) or batch.frames,
        points=sum(one.points for one in poison) if poison else batch.points,
        first_time=batch.first_time,
        last_time=batch.last_time,
        whole=not poison,
        schemas={identity.hex(): schemas[identity] for identity in sorted(needed) if identity in schemas},
        digest=_digest(body),
    )
    return DeadLetter(header, body)


class Spool:
    """The folder of one lane's dead letters, written by one at a time. All methods block: call them beside the loop.

    ``mark``: end of the names of letters, for workers that share a folder; their batches have the same numbers.
    """

    def __init__(
        self, folder: Path, *, mark: str = "", most_files: int = 10_000, most_bytes: int = 256_000_000
    ) -> None:
        self.folder = folder
        self._mark = mark
        self._most_files = most_files
        self._most_bytes = most_bytes

    def put(self, letter: DeadLetter) -> bool:
        """Keep a letter: on disk, synced, all of it or nothing. False: the folder is full. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = _encoder.encode(letter.header) + b"\n" + letter.body
        sizes = [path.stat().st_size for path in self.paths()]
        if len(sizes) >= self._most_files or sum(sizes) + len(data) > self._most_bytes:
            return False
        path = self.folder / f"{letter.header.epoch:010d}-{letter.header.seq:019d}{self._mark}{SUFFIX}"
        draft = path.with_suffix(".tmp")
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return True

    def paths(self) -> list[Path]:
        """Return the files of all letters, oldest batch first."""
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def letters(self) -> Iterator[tuple[Path, DeadLetter | ValueError]]:
        """Every letter; a ValueError in place of one that is damaged."""
        for path in self.paths():
            try:
                yield path, read_letter(path)
            except ValueError as error:
                yield path, error


def read_letter(path: Path) -> DeadLetter:
    """Read a letter. Raises ValueError that names the file for one that is damaged, OSError for one that is gone."""
    data = path.read_bytes()
    end = data.find(b"\n", 0, _MOST_HEADER)
    try:
        header = _decoder.decode(data[: max(end, 0)])
    except msgspec.DecodeError as error:
        raise ValueError(f"{path.name}: not a dead letter: {error}") from error
    body = data[end + 1 :]
    if header.format != FORMAT:
        raise ValueError(f"{path.name}: format {header.format}, this version reads {FORMAT}")
    if _digest(body) != header.digest:
        raise ValueError(f"{path.name}: damaged: its content does not fit its digest")
    return DeadLetter(header, body)


def _digest(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()
