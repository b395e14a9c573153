"""Fuse files: two images, two folders matched by stem, or two videos."""

import argparse
import itertools
import sys
from pathlib import Path

from ..errors import UserError
from ..host.progress import progress
from ..io.datasets import PairFiles, match_by_stem
from ..io.image_files import read_thermal, read_visible, write_image
from ..io.pixels import luma, side_by_side
from ..io.video import VIDEO_SUFFIXES, Video, VideoSink
from ..io.whole_files import make_folder, whole_file
from ..pipeline.pipeline import Pipeline
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
    options.add_parameters(parser, *options.MODEL)
    options.add_pipeline(parser)


def run(args: argparse.Namespace) -> int:
    for path in (args.visible, args.thermal):
        if not path.exists():
            raise UserError(f'{path} does not exist')
    if args.visible.is_dir() != args.thermal.is_dir():
        raise UserError(f'{args.visible} and {args.thermal} must be both files or both folders')
    if args.visible.is_dir():
        return fuse_folders(args)
    if args.visible.suffix.lower() in VIDEO_SUFFIXES:
        return fuse_videos(args)
    name = args.visible.name
    output = args.output / Path(name).with_suffix('.png') if args.output.is_dir() else args.output
    fuse_pair(
        options.make_pipeline(options.settings(args)),
        PairFiles(name, args.visible, args.thermal),
        output,
        args,
    )
    print(output)
    return 0


def fuse_pair(pipeline: Pipeline, pair: PairFiles, output: Path, args) -> None:
    """Fuse one pair of files and write the result."""
    visible = read_visible(pair.visible)
    try:
        picture = fused_picture(pipeline, visible, read_thermal(pair.thermal), 0, args.side_by_side)
    except UserError as error:
        raise UserError(f'{pair.visible} with {pair.thermal}: {error}') from error
    write_image(output, picture)


def fuse_folders(args: argparse.Namespace) -> int:
    """All pairs of two folders; a pair that cannot be fused is reported and passed over."""
    pairs, alone = match_by_stem(args.visible, args.thermal)
    if alone:
        print(
            f'{len(alone)} images have no partner and are left out: {", ".join(alone[:5])}'
            f'{" …" if len(alone) > 5 else ""}',
            file=sys.stderr,
        )
    make_folder(args.output)
    pipeline = options.make_pipeline(options.settings(args, thermal_memory=0.0))
    failed = []
    for pair in progress(pairs):
        try:
            fuse_pair(pipeline, pair, args.output / f'{pair.stem}.png', args)
        except UserError as error:
            failed.append(str(error))
    for line in failed:
        print(line, file=sys.stderr)
    print(f'{len(pairs) - len(failed)} of {len(pairs)} pairs fused into {args.output}')
    return 2 if failed and len(failed) == len(pairs) else 0


def fuse_videos(args: argparse.Namespace) -> int:
    """Frame by frame, to the end of the shorter video."""
    visible, thermal = Video(args.visible), Video(args.thermal)
    pipeline = options.make_pipeline(options.settings(args))
    step = round(1e9 / visible.rate)
    frames = min(visible.frames, thermal.frames)
    count, sink = 0, None
    with whole_file(args.output) as temporary:
        try:
            pairs = zip(visible, thermal, strict=False)
            for (a, b), stamp in zip(progress(pairs, frames), itertools.count(0, step)):
                picture = fused_picture(pipeline, a, luma(b), stamp, args.side_by_side)
                sink = sink or VideoSink(temporary, visible.rate, picture.shape[:2])
                sink.write(picture)
                count += 1
        finally:
            if sink:
                sink.close()
        if not count:
            raise UserError(f'{args.visible} or {args.thermal} holds no frame')
    print(f'{count} frames fused into {args.output}')
    return 0


def fused_picture(pipeline: Pipeline, visible, thermal, stamp: int, beside: bool):
    """The fused image, or visible | thermal | fused. thermal: counts. stamp: nanoseconds."""
    frame = pipeline.observe(thermal, stamp)
    fused = pipeline.fuse(visible, frame)
    if beside:
        return side_by_side([visible, pipeline.white_hot(frame, visible.shape[:2]), fused])
    return fused
