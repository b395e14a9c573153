"""Which version of this package runs, and which commit."""

import subprocess
from pathlib import Path

from .. import __version__


def commit() -> str | None:
    """The commit of the checkout that the package runs from, with ``-dirty`` where it was edited.

    None if it runs from no checkout of its own: a repository around site-packages is another's.
    """
    checkout = Path(__file__).resolve().parents[2]
    if not ((checkout / '.git').exists() and (checkout / 'package.xml').is_file()):
        return None
    command = ['git', '-C', str(checkout), 'describe', '--always', '--dirty', '--abbrev=12']
    try:
        described = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    return described.stdout.strip() if described.returncode == 0 else None


def code_version() -> str:
    """The commit, else the version of the package."""
    return commit() or f'version {__version__}'
