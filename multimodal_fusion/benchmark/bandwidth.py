"""What fusion on the robot saves on its link: MB/s up and down, as MobileFuse's table V compares.

Remote fusion sends both images up and gets the fused one back; edge fusion computes on the robot
and sends the fused image up alone. Sizes are those of real messages: pixels as they come (raw), or
really encoded as JPEG or PNG. MB are 10^6 bytes.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from ..io.sources import open_source
from ..pipeline.pipeline import Pipeline, build
from ..pipeline.settings import checked

CODINGS = ('raw', 'jpeg', 'png')
_QUALITY = 80  # of JPEG, as the compressed transport's own default


@dataclass(frozen=True)
class Sizes:
    """Bytes of one pair's images in one coding."""

    visible: int
    thermal: int
    fused: int


@dataclass(frozen=True)
class Link:
    """MB/s that leave the robot (up) and come back to it (down)."""

    up: float
    down: float


def coded_size(pixels: np.ndarray, coding: str, quality: int = _QUALITY) -> int:
    """Bytes of an image: ``raw``, ``jpeg`` or ``png``; 16 bits, which JPEG cannot hold, as PNG.

    pixels: uint8 (H, W), (H, W, 3) or uint16 (H, W).
    """
    if coding == 'raw':
        return pixels.nbytes
    if coding == 'png' or pixels.dtype == np.uint16:
        return len(cv2.imencode('.png', pixels)[1])
    return len(cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def links(sizes: Sequence[Sizes], rate: float) -> dict[str, Link]:
    """The load of ``remote`` and ``edge`` fusion at a rate in Hz, by the mean sizes of the pairs.

    remote: up visible + thermal, down fused. edge: up fused, down nothing. Raises UserError if
    there are no pairs.
    """
    if not sizes:
        raise UserError('there are no pairs of images to take sizes from')
    visible, thermal, fused = (
        sum(getattr(s, name) for s in sizes) / len(sizes) * rate * 1e-6
        for name in ('visible', 'thermal', 'fused')
    )
    return {'remote': Link(visible + thermal, fused), 'edge': Link(fused, 0.0)}


def measure(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], pipeline: Pipeline, rate: float
) -> dict[str, dict[str, Link]]:
    """coding -> remote, edge -> `Link`. pairs: (visible, thermal) as the cameras give them."""
    sizes = {coding: [] for coding in CODINGS}
    for number, (visible, thermal) in enumerate(pairs):
        fused = pipeline.fuse(visible, pipeline.observe(thermal, number * 10**9))
        for coding, found in sizes.items():
            found.append(Sizes(*(coded_size(x, coding) for x in (visible, thermal, fused))))
    return {coding: links(found, rate) for coding, found in sizes.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('bandwidth: the link of the robot')
    group.add_argument('--data', type=Path, help='a data set of pairs (default: the night road)')
    group.add_argument('--bag', type=Path, help='or a bag')
    group.add_argument('--rgb-topic', help='of the bag, if its name does not tell')
    group.add_argument('--thermal-topic', help='of the bag, if its name does not tell')
    group.add_argument('--rate', type=float, default=30.0, help='pairs a second (default: 30)')
    group.add_argument('--limit', type=int, default=100, help='pairs to look at (default: 100)')


def run(args: argparse.Namespace) -> int:
    """Print a Markdown table, or (--json) the figures."""
    if args.rate <= 0 or args.limit < 1:
        raise UserError(f'--rate {args.rate} and --limit {args.limit} must be above 0')
    if args.data and args.bag:
        raise UserError('--data and --bag exclude each other: give one source of images')
    source = open_source(args.data, args.bag, None, args.rgb_topic, args.thermal_topic)
    pipeline = build(
        checked({'model.name': args.model, 'registration.mode': 'resize', 'thermal.memory': 0.0})
    )
    found = measure(pairs_of(source, args.limit), pipeline, args.rate)
    if args.json:
        figures = {
            coding: {where: vars(link) for where, link in both.items()}
            for coding, both in found.items()
        }
        print(json.dumps({'rate Hz': args.rate, 'MB/s': figures}, indent=2))
    else:
        print(table(found, args.rate))
    return 0


def pairs_of(source, limit: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """The first pairs of a source: each thermal image with the last RGB image before it."""
    visible, count = None, 0
    for item in source:
        if item.stream == 'rgb':
            visible = item.load()
        elif visible is not None and count < limit:
            count += 1
            yield visible, item.load()
        if count >= limit:
            return


def table(found: dict[str, dict[str, Link]], rate: float) -> str:
    """Markdown."""
    lines = [
        f'MB/s at {rate:g} pairs a second; JPEG of quality {_QUALITY}, 16-bit thermal as PNG.',
        '',
        '| coding | remote up | remote down | edge up | edge down | link saved |',
        '|---|---|---|---|---|---|',
    ]
    for coding, both in found.items():
        remote, edge = both['remote'], both['edge']
        saved = 1 - (edge.up + edge.down) / (remote.up + remote.down)
        cells = [f'{x:.2f}' for x in (remote.up, remote.down, edge.up, edge.down)]
        lines.append(f'| {coding} | {" | ".join(cells)} | {saved:.0%} |')
    return '\n'.join(lines)
