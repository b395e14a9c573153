"""Which version of this package runs, and which commit."""

import subprocess
from pathlib import Path

from .. import __version__

_QUIET = {'check': True, 'capture_output': True, 'text': True}


def commit() -> str | None:
    """The commit of the checkout that the package runs from, with ``-dirty`` where it was edited.

    None if it runs from no checkout of its own: a repository around site-packages is another's.
    """
    checkout = Path(__file__).resolve().parents[2]
    git = ['git', f'--git-dir={checkout / ".git"}', f'--work-tree={checkout}']
    try:
        # Whether it follows this very file tells a checkout of ours from another repository.
        subprocess.run([*git, 'ls-files', '--error-unmatch', __file__], **_QUIET)
        words = ('describe', '--always', '--dirty', '--abbrev=12', '--exclude=*')
        return subprocess.run([*git, *words], **_QUIET).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def code_version() -> str:
    """The commit, else the version of the package."""
    return commit() or f'version {__version__}'
