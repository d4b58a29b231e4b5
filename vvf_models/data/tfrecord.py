# SPDX-License-Identifier: Apache-2.0
"""TFRecord files of tf.train.Example, without TensorFlow.

Framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details;
a record is length (uint64), masked CRC-32C of it, data, masked CRC-32C of the data, little endian.
The messages: tensorflow/core/example/{example,feature}.proto; wire format:
https://protobuf.dev/programming-guides/encoding/.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vvf_models.errors import UserError

Feature = list[bytes] | NDArray[np.float32] | NDArray[np.int64]

_CASTAGNOLI = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _make_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _make_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of some bytes."""
    table, crc = _TABLE, 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord stores it."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def record_offsets(path: Path | str) -> Iterator[tuple[int, int]]:
    """Offset and length of each record's data, checking the lengths' checksums.

    Those before a damaged place come first, then the error.

    Raises:
        UserError: The file cannot be read, is cut off, or a checksum is wrong.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open('rb') as file:
            position = 0
            while position < size:
                header = file.read(12)
                if len(header) < 12 or masked_crc32c(header[:8]) != _uint32(header[8:]):
                    raise _damaged(path, position)
                (length,) = struct.unpack('<Q', header[:8])
                if position + 16 + length > size:
                    raise _damaged(path, position)
                yield position + 12, length
                position += 16 + length
                file.seek(position)
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}.') from error


def read_record(path: Path | str, offset: int, length: int) -> bytes:
    """The data of one record, its checksum checked.

    Raises:
        UserError: The record is damaged or the file cannot be read.
    """
    try:
        with Path(path).open('rb') as file:
            file.seek(offset)
            data = file.read(length)
            checksum = file.read(4)
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}.') from error
    if len(data) < length or len(checksum) < 4 or masked_crc32c(data) != _uint32(checksum):
        raise _damaged(Path(path), offset)
    return data


def parse_example(data: bytes) -> dict[str, Feature]:
    """The features of a serialised tf.train.Example.

    Raises:
        ValueError: The bytes are no such message.
    """
    features: dict[str, Feature] = {}
    for _, features_message in _fields(data):
        for _, entry in _fields(_as_bytes(features_message)):
            name, feature = '', b''
            for number, value in _fields(_as_bytes(entry)):
                if number == 1:
                    name = _as_bytes(value).decode()
                elif number == 2:
                    feature = _as_bytes(value)
            features[name] = _parse_feature(feature)
    return features


def _parse_feature(data: bytes) -> Feature:
    for number, value in _fields(data):
        items = list(_fields(_as_bytes(value)))
        if number == 1:
            return [_as_bytes(item) for _, item in items]
        if number == 2:  # packed, or one fixed32 field per number
            return np.frombuffer(b''.join(_as_bytes(item) for _, item in items), '<f4').copy()
        if number == 3:
            return np.array(list(_integers(items)), np.int64)
    return []


def _integers(items: list[tuple[int, int | bytes]]) -> Iterator[int]:
    for _, item in items:
        if isinstance(item, int):
            yield _signed(item)
            continue
        position = 0
        while position < len(item):
            value, position = _varint(item, position)
            yield _signed(value)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f'not a protobuf message: wire type {kind}')
        if position + length > len(data):
            raise ValueError('not a protobuf message: it is cut off')
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError('not a protobuf message: a number is cut off')


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError('not a tf.train.Example')
    return value


def _uint32(data: bytes) -> int:
    return int.from_bytes(data, 'little')


def _damaged(path: Path, position: int) -> UserError:
    return UserError(f'{path} is damaged at byte {position}; copy or download it again.')
