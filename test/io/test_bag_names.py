"""Which bags a pattern, a folder or a list stands for, here; remote ones: test_places."""

import os

import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.bag_names import expand, mark_of, size_of
from multimodal_fusion.io.places import each_once, suffix_of


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Empty files: what they hold is seen when they are opened. in/one is a bag of two files."""
    monkeypatch.chdir(tmp_path)
    for name in (
        'in/one/metadata.yaml', 'in/one/one_0.mcap', 'in/one/one_1.mcap', 'in/loose.mcap',
        'in/notes.txt', 'in/deep/er/two/two.db3', 'in/deep/er/two/metadata.yaml', 'in/G.MCAP',
        'we[ir]d/three.mcap',
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


ALL = ['in/G.MCAP', 'in/deep/er/two', 'in/loose.mcap', 'in/one']


@pytest.mark.parametrize(
    ('text', 'bags'),
    [
        ('in', ALL),
        ('in/', ALL),
        ('in/**', ALL),
        ('in/*', ALL),  # folders that match are looked into
        ('in/**/*.mcap', ['in/loose.mcap', 'in/one']),
        ('in/one', ['in/one']),
        ('in/one/', ['in/one']),
        ('in/one/one_1.mcap', ['in/one/one_1.mcap']),  # named: it alone
        ('in/G.MCAP', ['in/G.MCAP']),
        ('we[ir]d', ['we[ir]d/three.mcap']),
        ('we[ir]d/three.mcap', ['we[ir]d/three.mcap']),
        ('in/gone.mcap', ['in/gone.mcap']),  # told when it is opened
    ],
)
def test_names(here, text, bags):
    assert expand(text) == bags


@pytest.mark.parametrize('text', ['nothing*', 'in/notes*', 'in/**/*.bag'])
def test_patterns_of_no_bag(here, text):
    with pytest.raises(UserError, match='gives no bag'):
        expand(text)


def test_a_list_names_each_once(here):
    """By other spellings, by Windows, with a byte-order mark."""
    lines = [
        '# mine',
        'in/one',
        './in/one/',
        str(here / 'in/one'),
        '',
        'in/**/two',
        'in/loose.mcap',
    ]
    (here / 'bags.txt').write_bytes(b'\xef\xbb\xbf' + '\r\n'.join(lines).encode())
    found = expand('bags.txt')
    assert sorted(os.path.relpath(bag) for bag in found) == ALL[1:]


def test_links_are_followed_once(here):
    (here / 'in/loop').symlink_to(here / 'in')
    (here / 'links').mkdir()
    (here / 'links/bag').symlink_to(here / 'in/one')
    (here / 'links/file.mcap').symlink_to(here / 'in/loose.mcap')
    assert len(expand('in')) == len(ALL)
    assert expand('links') == expand('links/*') == ['links/bag', 'links/file.mcap']


def test_a_name_that_is_no_text(here, capsys):
    os.rename(b'in/loose.mcap', b'in/\xff.mcap')
    assert expand('in') == [bag for bag in ALL if 'loose' not in bag]
    assert r"left out: 'in/\udcff.mcap' is no name in UTF-8" in capsys.readouterr().err
    assert each_once([]) == []


def test_sizes_and_marks(here):
    assert size_of('in/one') == sum(f.stat().st_size for f in (here / 'in/one').iterdir())
    assert size_of('in/gone.mcap') == 0
    before = mark_of('in/one')
    assert before == mark_of('in/one') != mark_of('in/loose.mcap')
    (here / 'in/one/one_1.mcap').write_bytes(b'more than it was')
    assert mark_of('in/one') != before


def test_suffixes():
    assert suffix_of('https://host/a.mcap?token=b.txt') == '.mcap'
    assert suffix_of('s3://a/b.DB3') == '.db3' and suffix_of('a/b') == ''
