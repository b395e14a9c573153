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
from ..io.whole_files import make_folder
from ..pipeline.frames import stamp_of
from ..pipeline.offline import Offline
from ..registration.calibrate import calibrate, calibrate_rig, write_pictures
from ..registration.clock import Motion, clock_offset
from ..registration.intrinsics import write_camera
from ..registration.refine import MODELS
from ..registration.targets import KINDS, target
from . import options

HELP = 'Find how thermal pixels lie on RGB pixels, from pictures of any scene: no target needed.'
EXAMPLE = 'python -m multimodal_fusion calibrate --bag flight1 -o registration.yaml'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument(
        '--data', type=options.source, help='folder of pairs of this rig, DIR/vis and DIR/ir'
    )
    data.add_argument('--bag', type=options.source, help='rosbag2: folder, .mcap or .db3')
    options.add_stems(parser)
    parser.add_argument(
        '-o', '--output', type=Path,
        help='registration file to write, for registration.file of the node',
    )  # fmt: skip
    parser.add_argument(
        '--time-offset',
        action='store_true',
        help='find by how much the clocks of the cameras differ instead, from motion in a bag',
    )
    parser.add_argument(
        '--frames', type=int, help='pairs to look at (default: 20; with --intrinsics 60)'
    )
    parser.add_argument(
        '--model', choices=('auto', *MODELS), default='auto',
        help='how freely thermal may be warped (default: by what the pictures can tell)',
    )  # fmt: skip
    points = parser.add_mutually_exclusive_group()
    points.add_argument(
        '--target', metavar='KIND',
        help=f'go by a target that both cameras see: {KINDS}',
    )  # fmt: skip
    points.add_argument(
        '--matcher', metavar='MODULE:FUNCTION',
        help='a matcher of yours: (visible, thermal), uint8 (H, W), to points of both, (N, 2) each',
    )  # fmt: skip
    parser.add_argument(
        '--intrinsics', action='store_true',
        help='with --target, held near and far: the lenses too, and how the cameras stand to each '
        'other, for registration.mode calibrated',
    )  # fmt: skip
    parser.add_argument(
        '--square', type=float, metavar='METRES',
        help='between neighbouring points of the target (of acircles: between rows)',
    )  # fmt: skip
    parser.add_argument(
        '--pictures', type=Path, metavar='DIR',
        help='for checkerboards and a page to flip through (default: beside the file)',
    )  # fmt: skip
    options.add_bag(parser)
    options.add_settings(parser)


def run(args: argparse.Namespace) -> int:
    if args.time_offset:
        return _time_offset(args)
    if args.output is None:
        raise UserError('-o is missing: name the registration file to write')
    if args.frames is None:
        args.frames = 60 if args.intrinsics else 20
    if args.frames < 1:
        raise UserError(f'--frames is {args.frames}; at least 1 pair is needed')
    if args.intrinsics:
        return _intrinsics(args)
    matcher = named(args.matcher, {}, 'matcher') if args.matcher else None
    matcher = target(args.target) if args.target else matcher
    frames = _of_bag(args) if args.bag else _of_folder(args)
    found = calibrate(frames, args.model, matcher, exact=bool(args.target))
    estimate = found.estimate
    folder = _folder(args)
    write_pictures(folder, frames, estimate.matrix, estimate.words())
    print(f'{len(frames)} pair{"s" * (len(frames) > 1)}, {estimate.model}: {estimate.words()}')
    print(f'pictures to judge it by: {folder / "index.html"}')
    if not estimate.sure:
        raise UserError(f'not sure, so {args.output} is not written: {estimate.reason}')
    found.stored.write(args.output)
    print(f'written to {args.output}; use it:')
    print(f'  -p registration.mode:=homography -p registration.file:={args.output}')
    return 0


def _folder(args: argparse.Namespace) -> Path:
    folder = args.pictures or args.output.with_name(f'{args.output.stem}_pictures')
    make_folder(folder)
    return folder


def _intrinsics(args: argparse.Namespace) -> int:
    if not args.target or not args.square or not 0 < args.square < 10:
        raise UserError(
            '--intrinsics needs --target KIND and --square METRES, the distance of its points'
        )
    kind = target(args.target)
    kind.board(args.square)
    frames = _of_bag(args) if args.bag else _of_folder(args)
    found = calibrate_rig(frames, kind, args.square)
    for name, one in found.cameras.items():
        print(f'{name}: {one.words()}')
    print(found.rig.words())
    folder = _folder(args)
    write_pictures(
        folder,
        found.straightened(frames),
        found.stored.matrix,
        f'{found.rig.words()}; straightened',
    )
    print(f'pictures to judge it by: {folder / "index.html"}')
    for name, one in found.cameras.items():
        path = args.output.with_name(f'{args.output.stem}_{name}.yaml')
        write_camera(path, name, one)
        print(f'camera_info of {name}, for its driver (camera_info_url): {path}')
    found.stored.write(args.output)
    print(f'written to {args.output}; use it:')
    print(
        f'  -p registration.mode:=calibrated -p registration.file:={args.output} '
        '-p registration.distance:=10.0'
    )
    return 0


def _time_offset(args: argparse.Namespace) -> int:
    if not args.bag or args.output:
        raise UserError('--time-offset goes with --bag, and writes no file: leave -o out')
    settings = options.settings(args)
    motion = {'rgb': Motion(), 'thermal': Motion()}
    with open_bag(args.bag) as bag:
        topics = bag.choose(args.rgb_topic, args.thermal_topic)
        names = {topics.rgb: 'rgb', topics.thermal: 'thermal'}
        reads = {'rgb': messages.read_visible, 'thermal': messages.read_thermal}
        for step in progress(Offline(bag, topics, settings).steps(), unit='messages'):
            name = names.get(step.topic)
            if name is None or step.message is None:
                continue
            try:
                image = reads[name](step.message, settings.input.max_pixels)
            except UserError as error:
                warn(f'{name}: {error}')
                continue
            stamp = stamp_of(step.message.header) or step.time
            motion[name].add(stamp * 1e-9, image)
    found = clock_offset(motion['rgb'], motion['thermal'])
    if found.reason:
        raise UserError(f'not sure of the offset: {found.reason}')
    frames = [f'{name} {1 / m.period:.1f} Hz' for name, m in motion.items()]
    print(
        f'thermal stamps are {-found.seconds * 1e3:+.0f} ms off those of RGB ({", ".join(frames)}; '
        f'correlation {found.fit:.2f}); use it:\n'
        f'  -p sync.thermal_time_offset:={found.seconds:.3f}'
    )
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
                    straight = offline.pipeline.preparation.registration.straight
                    counts = straight('thermal', pair.thermal.thermal.counts)
                    frames.append((straight('rgb', visible), counts))
        for sentence in offline.notices():
            warn(sentence)
        if not frames:
            raise UserError(f'{args.bag} gave no pair: {offline.why_nothing()}')
    return frames
