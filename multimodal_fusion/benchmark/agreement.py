"""`bench agreement`: the compiled kernel's pixels beside those of ONNX Runtime."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..fusers.fuser import Fuser, find_model
from ..fusers.kernel.compiled import Compiled
from ..fusers.kernel.fixed_point import fixed_point
from ..fusers.kernel.library import library
from ..fusers.kernel.pyramid import read_pyramid
from ..fusers.kernel.weights import read_two_layer
from ..io.datasets import find_pairs
from ..io.image_files import read_thermal, read_visible
from ..io.pixels import luma
from ..runtime.manifest import Manifest, read_model
from .fusers import images
from .table import markdown

_NOISE = (640, 480)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--images', type=Path, help='agreement: a folder of image pairs as well')


def run(args: argparse.Namespace) -> int:
    if library() is None:
        raise UserError('the kernel is not built; install with a C compiler at hand')
    rows = []
    for model in args.models.split(','):
        rows += _of_model(model, args.images, args.allow_unlisted)
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print(markdown(list(rows[0]) if rows else [], [list(row.values()) for row in rows]))
    return 0


def _of_model(model: str, folder: Path | None, allow_unlisted: bool) -> Iterator[dict]:
    manifest = Manifest.load()
    try:
        name, path = find_model(model, manifest)
    except UserError:
        return  # a classical fuser
    content = read_model(path, manifest, allow_unlisted)
    weights = read_two_layer(content)
    known = weights or read_pyramid(content)
    if known is None:
        return
    runtime = Fuser.load(model, ('cpu',), 1, allow_unlisted, manifest, compiled=False)
    fixed = fixed_point(weights) if weights else None
    proven = round(fixed.error, 3) if fixed else ''
    kernels = {'float32': Compiled(known, sixteen_bit=False)}
    if fixed and kernels['float32'].wide:
        kernels['16-bit'] = Compiled(known)
    sources = {'noise': lambda: images(_NOISE, 'luma')}
    if folder is not None:
        sources['pairs'] = lambda: _pairs(folder)
    for source, pairs in sources.items():
        totals = {kind: np.zeros(5) for kind in kernels}
        for visible, thermal in pairs():
            expected = runtime.fuse(visible, thermal).astype(int)
            for kind, kernel in kernels.items():
                change = kernel.fuse(visible, thermal) - expected
                size = np.abs(change)
                totals[kind] += change.size, (size > 0).sum(), (size > 1).sum(), change.sum(), 0
                totals[kind][4] = max(totals[kind][4], size.max())
        for kind, (pixels, differ, off, drift, most) in totals.items():
            yield {
                'model': name,
                'arithmetic': kind,
                'images': source,
                'pixels': int(pixels),
                'most levels': int(most),
                '% within one level': 100 * (1 - off / pixels),
                '% equal': round(100 * (1 - differ / pixels), 3),
                'mean difference': round(drift / pixels, 6),
                'proven before rounding': proven if kind == '16-bit' else '',
            }


def _pairs(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for pair in find_pairs(folder).pairs:
        thermal = read_thermal(pair.thermal)
        if thermal.dtype != np.uint8:
            raise UserError(
                f'{pair.thermal} is {thermal.dtype}; --images needs 8-bit thermal images'
            )
        yield luma(read_visible(pair.visible)), thermal
