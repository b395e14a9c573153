"""``python -m multimodal_fusion COMMAND``: one file a command, in ``multimodal_fusion.cli``."""

import sys

from .cli import main

if __name__ == '__main__':
    sys.exit(main())
