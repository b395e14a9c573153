"""Files that are whole or absent, and folders for output."""

import errno
import shutil

import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.whole_files import make_folder, room_for, whole_file


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / 'deep' / 'a.txt'
    with whole_file(path) as temporary:
        assert temporary.suffix == '.txt' and not path.exists()
        temporary.write_text('all')
    assert path.read_text() == 'all'
    with pytest.raises(KeyError), whole_file(path) as temporary:
        temporary.write_text('half')
        raise KeyError
    assert path.read_text() == 'all' and [p.name for p in path.parent.iterdir()] == ['a.txt']


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_sentence_and_another_error_is_none(tmp_path, number):
    with (
        pytest.raises(UserError, match=r'a\.txt cannot be written \(.*\): make room'),
        whole_file(tmp_path / 'a.txt'),
    ):
        raise OSError(number, 'no room')
    with pytest.raises(PermissionError), whole_file(tmp_path / 'a.txt'):
        raise PermissionError(errno.EACCES, 'no')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['s3:/bucket/out', 'sftp:/host/out'])
def test_output_is_not_remote(name, tmp_path, monkeypatch):
    """As pathlib makes of s3://; a folder with a colon is one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match='is remote: output is written to this machine'):
        make_folder(type(tmp_path)(name))
    assert not list(tmp_path.iterdir())
    assert make_folder(tmp_path / 'run:1').is_dir()


def test_room(tmp_path, monkeypatch):
    """Of 5 GB, 3 GB fit and 6 do not."""
    usage = shutil.disk_usage(tmp_path)._replace(free=5_000_000_000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
    assert room_for(tmp_path, 3e9) == 'about 3.00 GB will be written, 5.00 GB are free'
    assert room_for(tmp_path, 2.5e6) == 'about 2.5 MB will be written, 5.00 GB are free'
    with pytest.raises(UserError, match=r'about 6\.00 GB would be written'):
        room_for(tmp_path, 6e9)
