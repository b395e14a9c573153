"""Where the package's own data files (models, config) are: in a checkout, under pip or colcon."""

import os
import sys
from pathlib import Path

from ..errors import UserError

PACKAGE = 'multimodal_fusion'


def candidates() -> list[Path]:
    """Folders that may hold ``models/`` and ``config/``, in the order they are tried.

    A checkout comes first, so that an edited model or parameter file is the one that is used.
    """
    checkout = Path(__file__).resolve().parents[2]
    found = [checkout] if (checkout / 'package.xml').is_file() else []
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) + [sys.prefix]
    return found + [Path(prefix) / 'share' / PACKAGE for prefix in prefixes if prefix]


def share_file(relative: str) -> Path:
    """Path of a data file of the package, such as ``'config/fusion.yaml'``.

    Raises UserError when no installation has it.
    """
    for folder in candidates():
        if (folder / relative).exists():
            return folder / relative
    looked = ', '.join(str(folder) for folder in candidates())
    raise UserError(
        f'the package file {relative} was not found in {looked}; '
        'reinstall the package, or source the workspace it was built in'
    )
