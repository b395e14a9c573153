"""Which version of this package runs, and which commit."""

import subprocess
from pathlib import Path

from .. import __version__


def commit() -> str | None:
    """The commit of the checkout that the package runs from, with ``-dirty`` where it was edited.

    None if it runs from no checkout of its own: a repository around site-packages is another's.
    """
    checkout = Path(__file__).resolve().parents[2]
    git = ['git', f'--git-dir={checkout / ".git"}', f'--work-tree={checkout}']
    try:
        # Whether it follows this very file tells a checkout of ours from another repository.
        _output([*git, 'ls-files', '--error-unmatch', __file__])
        words = ('describe', '--always', '--dirty', '--abbrev=12', '--exclude=*')
        return _output([*git, *words]).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def code_version() -> str:
    """The commit, else the version of the package."""
    return commit() or f'version {__version__}'
