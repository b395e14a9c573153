"""Fuse files: two images, two folders matched by stem, or two videos."""

import argparse
import sys
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..host.progress import progress, warn
from ..io.datasets import PairFiles, match_by_stem
from ..io.image_files import read_thermal, read_visible, write_image
from ..io.pixels import side_by_side
from ..io.stems import Selection
from ..io.video import VIDEO_SUFFIXES, Video, VideoSink
from ..io.whole_files import make_folder, whole_file
from ..pipeline.frames import ThermalFrame
from ..pipeline.pairing import Counters
from ..pipeline.pipeline import Pipeline
from ..pipeline.settings import Settings
from ..pipeline.temperature import UNKNOWN, celsius, hottest
from ..pipeline.videos import by_index, by_time
from . import options

HELP = 'Fuse two images, two folders of images (matched by stem), or two videos.'
EXAMPLE = 'python -m multimodal_fusion fuse visible.png thermal.tiff -o fused.png --side-by-side'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('visible', type=Path, help='image, folder or video, colour or grey')
    parser.add_argument('thermal', type=Path, help='the same of the thermal camera, 8 or 16 bits')
    parser.add_argument('-o', '--output', type=Path, required=True, help='file or folder to write')
    parser.add_argument(
        '--side-by-side', action='store_true', help='write visible | thermal | fused'
    )
    parser.add_argument(
        '--temperatures', type=Path, metavar='PATH',
        help='write degrees Celsius, too, as float32 TIFF: a file, or a folder for folders',
    )  # fmt: skip
    parser.add_argument(
        '--by-index',
        action='store_true',
        help='of videos: frame n with frame n, not frames of one time',
    )
    options.add_stems(parser)
    options.add_parameters(parser, *options.MODEL, 'model.text', 'model.tile')
    options.add_pipeline(parser)


def run(args: argparse.Namespace) -> int:
    for path in (args.visible, args.thermal):
        if not path.exists():
            raise UserError(f'{path} does not exist')
    if args.visible.is_dir() != args.thermal.is_dir():
        raise UserError(f'{args.visible} and {args.thermal} must be both files or both folders')
    refuse_to_overwrite(args)
    if args.visible.is_dir():
        return fuse_folders(args)
    if args.stems or args.without:
        raise UserError('--stems and --without choose pairs of two folders; leave them out here')
    if args.visible.suffix.lower() in VIDEO_SUFFIXES:
        if args.temperatures:
            raise UserError('--temperatures is of images; videos hold pictures, not counts')
        return fuse_videos(args)
    name = args.visible.name
    output = args.output / Path(name).with_suffix('.png') if args.output.is_dir() else args.output
    settings = options.settings(args, args.thermal)
    options.without_cameras(settings)
    pair = PairFiles(name, args.visible, args.thermal)
    degrees = temperatures(pair, args)
    fuse_pair(options.make_pipeline(settings), settings, pair, output, args.side_by_side)
    print(output)
    if degrees is not None:
        write_image(args.temperatures, degrees)
        found = hottest(degrees)
        print(
            f'{args.temperatures}: hottest {found.celsius:.1f} degrees Celsius at column '
            f'{found.x}, row {found.y}'
        )
    return 0


def refuse_to_overwrite(args: argparse.Namespace) -> None:
    """Raises UserError where what is written would take the place of what is read."""
    target = args.output
    if args.output.is_dir() and not args.visible.is_dir():
        target = args.output / args.visible.with_suffix('.png').name
    for source in (args.visible, args.thermal):
        degrees = args.temperatures
        if degrees and degrees.exists() and degrees.samefile(source):
            raise UserError(f'--temperatures would overwrite {source}; name another output')
        if target.exists() and target.samefile(source):
            raise UserError(f'-o {args.output} would overwrite {source}; name another output')


def fuse_pair(
    pipeline: Pipeline, settings: Settings, pair: PairFiles, output: Path, side_by_side: bool
) -> None:
    """Fuse one pair of files and write the result."""
    limit = settings.input.max_pixels
    visible = read_visible(pair.visible, limit)
    try:
        frame = pipeline.observe(read_thermal(pair.thermal, limit), 0)
        picture = fused_picture(pipeline, visible, frame, side_by_side)
    except UserError as error:
        raise UserError(f'{pair.visible} with {pair.thermal}: {error}') from error
    write_image(output, picture)


def temperatures(pair: PairFiles, args: argparse.Namespace) -> np.ndarray | None:
    """Degrees Celsius of the thermal file, float32, on its own grid, where they are asked for.
    Raises UserError where unknown."""
    if not args.temperatures:
        return None
    settings = options.settings(args, pair.thermal)
    degrees = celsius(read_thermal(pair.thermal, settings.input.max_pixels), settings.thermal)
    if degrees is None:
        raise UserError(f'{pair.thermal}: {UNKNOWN}')
    return degrees


def fuse_folders(args: argparse.Namespace) -> int:
    """All pairs of two folders; a pair that cannot be fused is reported and passed over."""
    pairs, alone = match_by_stem(args.visible, args.thermal)
    if alone:
        print(
            f'{len(alone)} images have no partner and are left out: {", ".join(alone[:5])}'
            f'{" …" if len(alone) > 5 else ""}',
            file=sys.stderr,
        )
    pairs = Selection.read(args.stems, args.without).choose(pairs, args.visible)
    for folder in filter(None, (args.output, args.temperatures)):
        make_folder(folder)
    settings = options.settings(args, pairs[0].thermal if pairs else None, thermal_memory=0.0)
    options.without_cameras(settings)
    pipeline = options.make_pipeline(settings)
    failed = []
    for pair in progress(pairs):
        try:
            degrees = temperatures(pair, args)
            fuse_pair(pipeline, settings, pair, args.output / f'{pair.stem}.png', args.side_by_side)
            if degrees is not None:
                write_image(args.temperatures / f'{pair.stem}.tiff', degrees)
        except UserError as error:
            failed.append(str(error))
    for line in failed:
        print(line, file=sys.stderr)
    print(f'{len(pairs) - len(failed)} of {len(pairs)} pairs fused into {args.output}')
    return 2 if failed and len(failed) == len(pairs) else 0


def fuse_videos(args: argparse.Namespace) -> int:
    """Frames of one time, or by number, until one of the videos ends."""
    visible, thermal = Video(args.visible), Video(args.thermal)
    settings, counters = options.settings(args), Counters()
    pipeline = options.make_pipeline(settings)
    if args.by_index:
        frames = by_index(visible, thermal, pipeline, counters)
    else:
        frames = by_time(visible, thermal, settings, pipeline, counters)
    rate = visible.rate if args.by_index else min(visible.rate, thermal.rate)
    sink = None
    with whole_file(args.output) as temporary:
        try:
            for colour, frame in progress(frames, min(visible.frames, thermal.frames)):
                picture = fused_picture(pipeline, colour, frame, args.side_by_side)
                sink = sink or VideoSink(temporary, rate, picture.shape[:2], args.output)
                sink.write(picture)
        finally:
            if sink:
                sink.close()
        if not counters.paired:
            raise UserError(_why_no_frame(visible, thermal, settings.sync.slop))
    for video in (visible, thermal):
        warn(video.cut)
    alone = counters.unpaired
    print(
        f'{counters.paired} frames fused into {args.output}; without a partner: visible '
        f'{alone["rgb"]}, thermal {alone["thermal"]}'
    )
    return 0


def _why_no_frame(visible: Video, thermal: Video, slop: float) -> str:
    for video in (visible, thermal):
        if not video.read:
            return f'{video.path} holds no frame that can be decoded'
    return (
        f'no frame of {visible.path} lies within {slop} s of one of {thermal.path}: --set '
        'sync.slop, --set sync.thermal_time_offset, or --by-index'
    )


def fused_picture(pipeline: Pipeline, visible: np.ndarray, frame: ThermalFrame, beside: bool):
    """The fused image by ``output.view``, or visible | thermal | that."""
    found = pipeline.fuse_all(visible, frame)
    shown = pipeline.shown(found)
    if beside and found.thermal is not None:
        return side_by_side([found.visible, found.thermal, shown])
    return shown
