"""Text that editors and tools of all kinds have written, and YAML that means harm."""

import os

import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.box_files import read_boxes, read_classes
from multimodal_fusion.io.text_files import parse_yaml, read_text
from multimodal_fusion.pipeline.settings import from_file


def test_a_byte_order_mark_is_no_part_of_the_first_class(tmp_path):
    (tmp_path / 'classes.txt').write_bytes('person\ncar\n'.encode('utf-8-sig'))
    assert read_classes(tmp_path) == ('person', 'car')
    (tmp_path / 'a.txt').write_bytes('0 0.5 0.5 1 1\r\n'.encode('utf-8-sig'))
    assert read_boxes(tmp_path / 'a.txt', 10, 10, 2).labels.tolist() == [0]


@pytest.mark.parametrize(('encoding', 'kind'), [('utf-16', 'UTF-16'), ('latin-1', 'another enc')])
def test_other_encodings_are_told(tmp_path, encoding, kind):
    (tmp_path / 'classes.txt').write_bytes('Fußgänger\n'.encode(encoding))
    with pytest.raises(UserError, match=f'is text in {kind}.*, not UTF-8 .*: save it as UTF-8'):
        read_classes(tmp_path)


def test_pipes_devices_and_folders_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', tmp_path, '/dev/zero'):
        with pytest.raises(UserError, match='is no regular file'):
            read_text(path, 'the text')


BOMB = 'a: &a [x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'{b}: &{b} [{", ".join([f"*{a}"] * 9)}]\n' for a, b in zip('abcdefgh', 'bcdefghi', strict=True)
)


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        (BOMB, 'stands for more than 100000 values'),
        ('a: 2024-13-45', 'month must be in 1..12'),
        ('a: !!python/object/apply:os.system [ls]', 'could not determine a constructor'),
        ('a: ' + '9' * 5000, 'Exceeds the limit|not valid'),
        ('[' * 5000, 'is not valid YAML'),
        ('a: [', 'is not valid YAML'),
    ],
    ids=['bomb', 'date', 'tag', 'number', 'depth', 'cut off'],
)
def test_yaml_that_means_harm(text, why):
    with pytest.raises(UserError, match=why) as raised:
        parse_yaml(text, 'the file')
    assert '\n' not in str(raised.value)


def test_ordinary_aliases_are_written_out():
    assert parse_yaml('a: &x {k: 1}\nb: {<<: *x, m: 2}', 'it') == {
        'a': {'k': 1}, 'b': {'k': 1, 'm': 2},
    }  # fmt: skip


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (b'/**:\n  ros__parameters:\n', {}),
        ('/**: {ros__parameters: {sync: {slop: 0.1}}}'.encode('utf-8-sig'), {'sync.slop': 0.1}),
    ],
)
def test_parameter_files(tmp_path, content, expected):
    (tmp_path / 'p.yaml').write_bytes(content)
    assert from_file(tmp_path / 'p.yaml') == expected
