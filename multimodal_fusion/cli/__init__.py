"""The command line. A command is a module here with HELP, EXAMPLE, add_arguments() and run().

``run(args)`` returns the exit code: 0 done, 1 failed. Bad input raises UserError, exit code 2.
"""

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .. import __version__
from ..errors import NO_MEMORY, Interrupted, UserError, out_of_memory

COMMANDS = (
    'demo', 'fuse', 'calibrate', 'replay', 'evaluate', 'bench', 'models', 'doctor', 'data', 'train',
    'ablate', 'export',
)  # fmt: skip
# Spellings of before 0.2.0, which go with it: (command, word) to what it is called now.
_MOVED = {
    ('train', 'pack'): ('data', 'pack'),
    ('train', 'preview-data'): ('data', 'preview'),
    ('train', 'ablate'): ('ablate',),
    ('bench', '--agreement'): ('bench', 'agreement'),
    ('bench', '--pipeline'): ('bench', 'node'),
    ('bench', '--bandwidth'): ('bench', 'bandwidth'),
}
_RECIPES = {'mmdr-student': 'mmdrfuse', 'mmdr-teacher': 'mmdrfuse-teacher'}
_PRESETS = {'quick': '', 'cpu': '-cpu', 'gpu': '-gpu', 'paper': '-paper', 'plus': '_plus'}


def build_parser(names=COMMANDS) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='multimodal_fusion', description='Thermal and RGB video fusion for robots.'
    )
    parser.add_argument('--version', action='version', version=f'%(prog)s {__version__}')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name in names:
        module = importlib.import_module(f'.{name}', __package__)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f'example: {module.EXAMPLE}',
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = sys.argv[1:] if argv is None else argv
    try:
        with _signals():
            args = parse(build_parser(), _renamed(given))
            args.argv = given
            return args.run(args)
    except UserError as error:
        print(f'multimodal_fusion {given[0]}: {error}', file=sys.stderr)
        return 2
    except Interrupted:
        return 130
    except BrokenPipeError:
        # The reader of our output left (`... | head`); keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not out_of_memory(error):
            raise
        print(f'multimodal_fusion {given[0]}: {NO_MEMORY}', file=sys.stderr)
        return 2


def parse(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """As ``parse_args``; changes of a configuration (key=value) may stand among options too."""
    args, rest = parser.parse_known_args(argv)
    changes = getattr(args, 'changes', None)
    if rest and (changes is None or not all('=' in w and w[0] != '-' for w in rest)):
        parser.error(f'unrecognized arguments: {" ".join(rest)}')
    if rest:
        changes += rest
    return args


def _renamed(argv: list[str]) -> list[str]:
    """The words with an old spelling replaced, which is told."""
    for (command, word), now in _MOVED.items():
        if argv[:1] == [command] and word in argv:
            print(
                f'multimodal_fusion: "{command} {word}" is called "{" ".join(now)}" now',
                file=sys.stderr,
            )
            return [*now, *(given for given in argv[1:] if given != word)]
    if argv[:1] == ['train'] and len(argv) > 1 and argv[1] in _RECIPES:
        at = argv.index('--config') if '--config' in argv else len(argv)
        preset = argv[at + 1] if at + 1 < len(argv) else 'cpu'
        if preset in _PRESETS:
            now = _RECIPES[argv[1]] + _PRESETS[preset]
            print(
                f'multimodal_fusion: the recipe {argv[1]}, {preset}, is called {now} now',
                file=sys.stderr,
            )
            return ['train', now, *argv[2:at], *argv[at + 2 :]]
    return argv


@contextmanager
def _signals() -> Iterator[None]:
    """A command that is ended cleans up: children, half files."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.signal(n, _interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_) -> None:
    raise Interrupted
