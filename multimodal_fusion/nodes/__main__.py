"""``python -m multimodal_fusion.nodes fusion_node|player|recorder``: a node as a program."""

import importlib
import os
import signal
import sys

NODES = ('fusion_node', 'player', 'recorder')


def run(name: str) -> int:
    """Import a node and run it. Asked to end meanwhile, it ends: there is nothing to clean up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    return importlib.import_module(f'multimodal_fusion.nodes.{name}').main()


def fusion_node() -> int:
    return run('fusion_node')


def player() -> int:
    return run('player')


def recorder() -> int:
    return run('recorder')


if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] not in NODES:
        print(f'usage: python -m multimodal_fusion.nodes {"|".join(NODES)} [...]', file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv.pop(1)))
