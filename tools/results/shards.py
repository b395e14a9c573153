"""Training from shards beside training from memory: steps a second, and memory.

    python -m tools.results.shards --data DATA --scratch /tmp/shards --count 20000

The same crops twice: as shards, and as a folder that is read into memory. Runs of both in turns, by
their own clock, which begins when all is loaded.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from multimodal_fusion.host.progress import progress
from multimodal_fusion.train.data.shards import load_shards, pack_shards

STEPS = 300


def explode(shards: Path, folder: Path) -> None:
    """The same crops as files."""
    found = load_shards(shards)
    for split, pairs in (('train', found.train), ('val', found.validation)):
        for kind in ('vis', 'ir'):
            (folder / split / kind).mkdir(parents=True)
        for i, pair in enumerate(progress(pairs, len(pairs), 'files')):
            for kind, image in (('vis', pair.visible), ('ir', pair.thermal)):
                path = folder / split / kind / f'{i:06d}.png'
                cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def run(data: Path, out: Path) -> tuple[float, float]:
    """(seconds a step, peak MB) of a run."""
    command = [
        sys.executable, '-m', 'multimodal_fusion', 'train', 'mmdrfuse_plus', '--data', str(data),
        '--out', str(out), f'steps={STEPS}', 'evaluate_every=100000', 'mmdrfuse.patches=20000',
        'mmdrfuse.validation_pairs=2',
    ]  # fmt: skip
    watched = (
        'import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); '
        'print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); sys.exit(code)'
    )
    done = subprocess.run(
        [sys.executable, '-c', watched, *command], check=True, capture_output=True, text=True
    )
    with (out / 'metrics.csv').open(newline='') as file:
        last = list(csv.DictReader(file))[-1]
    return float(last['seconds']) / int(last['step']), float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m tools.results.shards', description=__doc__)
    parser.add_argument('--data', type=Path, required=True, help='train/{vis,ir} and val/{vis,ir}')
    parser.add_argument('--scratch', type=Path, required=True)
    parser.add_argument('--count', type=int, default=20000)
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    shards, files = args.scratch / 'shards', args.scratch / 'files'
    if not shards.exists():
        print(pack_shards(args.data, shards, 192, args.count))
    if not files.exists():
        explode(shards, files)
    found: dict[str, dict[str, list[float]]] = {
        name: {'step s': [], 'peak MB': []} for name in ('shards', 'memory')
    }
    for number in range(args.rounds):
        for name, data in (('shards', shards), ('memory', files)):
            out = args.scratch / f'run-{name}-{number}'
            each, peak = run(data, out)
            found[name]['step s'].append(each)
            found[name]['peak MB'].append(peak)
            print(name, found[name], file=sys.stderr)
    medians = {
        n: {k: round(float(np.median(v)), 4) for k, v in f.items()} for n, f in found.items()
    }
    share = medians['memory']['step s'] / medians['shards']['step s']
    print(json.dumps({'each': found, 'medians': medians, 'speed over memory': round(share, 3)}))


if __name__ == '__main__':
    main()
