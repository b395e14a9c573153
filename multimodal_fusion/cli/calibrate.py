"""Find how thermal pixels lie on RGB pixels, from pictures of any scene."""

import argparse
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..host.plugins import named
from ..host.progress import progress, warn
from ..io import messages
from ..io.bag import open_bag
from ..io.datasets import find_pairs
from ..io.image_files import read_thermal, read_visible
from ..io.stems import Selection
from ..pipeline.offline import Offline
from ..registration.calibrate import calibrate, write_pictures
from ..registration.refine import MODELS
from . import options

HELP = 'Find how thermal pixels lie on RGB pixels, from pictures of any scene: no target needed.'
EXAMPLE = 'python -m multimodal_fusion calibrate --bag flight1 -o registration.yaml'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument('--data', type=Path, help='folder of pairs of this rig, DIR/vis and DIR/ir')
    data.add_argument('--bag', type=Path, help='rosbag2: folder, .mcap or .db3')
    options.add_stems(parser)
    parser.add_argument(
        '-o', '--output', type=Path, required=True,
        help='registration file to write, for registration.file of the node',
    )  # fmt: skip
    parser.add_argument('--frames', type=int, default=20, help='pairs to look at (default: 20)')
    parser.add_argument(
        '--model', choices=('auto', *MODELS), default='auto',
        help='how freely thermal may be warped (default: by what the pictures can tell)',
    )  # fmt: skip
    parser.add_argument(
        '--matcher', metavar='MODULE:FUNCTION',
        help='a matcher of yours: (visible, thermal), uint8 (H, W), to points of both, (N, 2) each',
    )  # fmt: skip
    parser.add_argument(
        '--pictures', type=Path, metavar='DIR',
        help='for checkerboards and a page to flip through (default: beside the file)',
    )  # fmt: skip
    options.add_bag(parser)


def run(args: argparse.Namespace) -> int:
    if args.frames < 1:
        raise UserError(f'--frames is {args.frames}; at least 1 pair is needed')
    matcher = named(args.matcher, {}, 'matcher') if args.matcher else None
    frames = _of_bag(args) if args.bag else _of_folder(args)
    found = calibrate(frames, args.model, matcher)
    estimate = found.estimate
    folder = args.pictures or args.output.with_suffix('')
    write_pictures(folder, frames, estimate)
    print(f'{len(frames)} pairs, {estimate.model}: {estimate.words()}')
    print(f'pictures to judge it by: {folder / "index.html"}')
    if not estimate.sure:
        raise UserError(f'not sure, so {args.output} is not written: {estimate.reason}')
    found.stored.write(args.output)
    print(f'written to {args.output}; use it:')
    print(f'  -p registration.mode:=homography -p registration.file:={args.output}')
    return 0


def _spread(count: int, wanted: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, count - 1, min(wanted, count))})


def _of_folder(args: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = Selection.read(args.stems, args.without).choose(find_pairs(args.data).pairs, args.data)
    chosen = [pairs[i] for i in _spread(len(pairs), args.frames)]
    return [
        (read_visible(p.visible), read_thermal(p.thermal)) for p in progress(chosen, len(chosen))
    ]


def _of_bag(args: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs spread over the bag, as the node would pair them."""
    settings = options.settings(args)
    with open_bag(args.bag) as bag:
        topics = bag.choose(args.rgb_topic, args.thermal_topic)
        offline = Offline(bag, topics, settings)
        start, step = None, bag.duration / (args.frames + 1)
        frames: list[tuple[np.ndarray, np.ndarray]] = []
        for message in progress(offline.steps(), unit='messages'):
            start = message.time if start is None else start
            for pair in message.pairs:
                due = (message.time - start) * 1e-9 >= step * (len(frames) + 0.5)
                if due and len(frames) < args.frames and pair.thermal.thermal is not None:
                    visible = messages.read_visible(pair.rgb.message, settings.input.max_pixels)
                    frames.append((visible, pair.thermal.thermal.counts))
        for sentence in offline.notices():
            warn(sentence)
        if not frames:
            raise UserError(f'{args.bag} gave no pair: {offline.why_nothing()}')
    return frames
