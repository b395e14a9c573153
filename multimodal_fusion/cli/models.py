"""List what can be loaded."""

import argparse
import dataclasses
import json

from ..fusers.catalogue import available
from ..runtime.manifest import Manifest

HELP = 'List what can be loaded by name: fusers, classical and learned, detectors and segmenters.'
EXAMPLE = 'python -m multimodal_fusion models --json'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--json', action='store_true', help='machine-readable')


def run(args: argparse.Namespace) -> int:
    manifest = Manifest.load()
    found = available(manifest)
    if args.json:
        rows = [{**dataclasses.asdict(i), 'default': i.name == manifest.default} for i in found]
        print(json.dumps(rows, indent=2))
        return 0
    header = ('name', 'kind', 'parameters', 'bytes', 'licence', 'source')
    rows = [
        (
            info.name + ('*' if info.name == manifest.default else ''),
            info.kind,
            f'{info.parameters or "-"}',
            f'{info.bytes or "-"}',
            info.licence,
            info.source,
        )
        for info in found
    ]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print(
            '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    for info in found:
        print(f'\n{info.name}: {info.description}', end='')
    print('\n\n* used by default. Any other .onnx file: give its path and --allow-unlisted.')
    return 0
