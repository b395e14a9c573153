"""``python -m multimodal_fusion COMMAND``: one file a command, in ``multimodal_fusion.cli``."""

import sys

if __name__ == '__main__':
    try:
        from .cli import main
    except KeyboardInterrupt:  # before it could be handled
        sys.exit(130)
    sys.exit(main())
