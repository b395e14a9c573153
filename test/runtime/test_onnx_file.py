"""ONNX files are walked field by field, within limits, before anything parses them."""

from pathlib import Path

import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.runtime.manifest import Manifest, read_model
from multimodal_fusion.runtime.onnx_file import check_onnx, metadata

from ..helpers.models import onnx_bytes

PATH = Path('odd.onnx')


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field; content of fewer than 2**21 bytes."""
    size = len(content)
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    return bytes([number << 3 | 2]) + length + content


def test_what_the_metadata_says():
    content = onnx_bytes() + field(14, field(1, b'task') + field(2, b'fuse'))
    assert metadata(content)['task'] == 'fuse'
    check_onnx(content, PATH)


def test_a_graph_of_many_tiny_fields_is_refused_before_they_are_parsed(monkeypatch):
    """Two bytes a field: a few megabytes made minutes of work. (By a smaller limit, in no time.)"""
    monkeypatch.setattr('multimodal_fusion.runtime.onnx_file.MAX_FIELDS', 1000)
    check_onnx(onnx_bytes() + field(7, b'\x10\1' * 900), PATH)
    with pytest.raises(UserError, match='more than 1000 fields'):
        check_onnx(onnx_bytes() + field(7, b'\x10\1' * 1001), PATH)


@pytest.mark.parametrize(
    'damage',
    [
        field(14, b'\xff\xff\xff'),  # a field that does not end
        field(14, field(1, b'task')[:-1]),  # cut
        field(14, b'\0\0'),  # field number 0
        b'\x70\1',  # a number where a message belongs
    ],
)
def test_damaged_metadata_is_refused_when_the_model_is_loaded(damage):
    with pytest.raises(UserError, match=r'odd\.onnx is not an ONNX model'):
        check_onnx(onnx_bytes() + damage, PATH)


def test_names_that_are_no_utf8_are_shown_as_they_can_be():
    content = onnx_bytes() + field(14, field(1, b'na\xffmes') + field(2, b'\xfe'))
    assert metadata(content)['na\ufffdmes'] == '\ufffd'


def test_only_regular_files_are_read(tmp_path):
    import os

    os.mkfifo(tmp_path / 'pipe.onnx')
    (tmp_path / 'folder.onnx').mkdir()
    for name in ('pipe.onnx', 'folder.onnx'):
        with pytest.raises(UserError, match=f'{name} is no regular file'):
            read_model(tmp_path / name, Manifest.load(), allow_unlisted=True)
