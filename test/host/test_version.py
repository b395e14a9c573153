"""Which commit runs: that of this checkout, never that of a repository around an installation."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from multimodal_fusion import __version__

ROOT = Path(__file__).parents[2]
ASK = 'from multimodal_fusion.host import version as v; print(v.commit(), v.code_version())'


def git(folder, *arguments):
    identity = ('-c', 'user.name=test', '-c', 'user.email=test@example.invalid')
    done = subprocess.run(
        ['git', *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def copy(tmp_path):
    """The package, copied to where an installation puts it, within somebody's repository."""
    site = tmp_path / 'robot/.venv/lib/site-packages'
    shutil.copytree(ROOT / 'multimodal_fusion', site / 'multimodal_fusion')
    git(tmp_path / 'robot', 'init', '-q')
    git(tmp_path / 'robot', 'add', '-A')
    git(tmp_path / 'robot', 'commit', '-qm', 'a robot of somebody')
    return site


def asked(folder):
    done = subprocess.run(
        [sys.executable, '-c', ASK], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_a_repository_around_an_installation_is_not_ours(copy):
    assert asked(copy) == f'None version {__version__}'


def test_a_checkout_names_its_commit_and_says_when_it_was_edited(copy):
    shutil.copy(ROOT / 'package.xml', copy)
    git(copy, 'init', '-q')
    git(copy, 'add', '-A')
    git(copy, 'commit', '-qm', 'this package')
    commit = git(copy, 'rev-parse', '--short=12', 'HEAD')
    assert asked(copy) == f'{commit} {commit}'
    (copy / 'package.xml').write_text('edited')
    assert asked(copy) == f'{commit}-dirty {commit}-dirty'
