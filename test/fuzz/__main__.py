"""python -m test.fuzz [TARGET ...] --minutes 10: each target for so long, guided by coverage.

Findings are written to build/fuzz; the exit code is 1 if there are any.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from .targets import TARGETS, survives

CORPUS = Path('build/fuzz')


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    target = TARGETS[name]
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *options], lambda data: survives(target, data))
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m test.fuzz', description=__doc__)
    parser.add_argument('targets', nargs='*', metavar='TARGET', help=f'of {", ".join(TARGETS)}')
    parser.add_argument('--minutes', type=float, default=10.0, help='for each target')
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    args, options = parser.parse_known_args()
    if args.child:
        fuzz(args.targets[0], options)
        return 0
    failed = []
    for name in args.targets or TARGETS:
        corpus = CORPUS / name
        corpus.mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(TARGETS[name].seeds()):
            (corpus / f'seed{i}').write_bytes(seed)
        flags = [
            f'-max_total_time={round(args.minutes * 60)}', '-print_final_stats=1', '-timeout=30',
            '-rss_limit_mb=3000', '-max_len=20000', f'-artifact_prefix={CORPUS}/{name}-',
        ]  # fmt: skip
        command = [sys.executable, '-m', 'test.fuzz', name, '--child', str(corpus), *flags]
        ended = subprocess.run(command, capture_output=True, text=True, errors='replace')
        tries = re.search(r'number_of_executed_units: (\d+)', ended.stderr)
        print(
            f'{name}: {tries[1] if tries else "?"} tries, exit code {ended.returncode}', flush=True
        )
        if ended.returncode:
            failed.append(name)
            print(ended.stdout[-3000:], ended.stderr[-1000:])
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
