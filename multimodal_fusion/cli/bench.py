"""What fusion costs on this machine."""

import argparse

from ..benchmark import bandwidth, pipeline
from ..errors import UserError

HELP = 'Measure what fusion costs on this machine.'
EXAMPLE = 'python -m multimodal_fusion bench --pipeline'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--pipeline', action='store_true', help='the node over DDS')
    what.add_argument('--bandwidth', action='store_true', help='remote against edge fusion')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')
    pipeline.add_arguments(parser)
    bandwidth.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.pipeline:
        return pipeline.run(args)
    if args.bandwidth:
        return bandwidth.run(args)
    raise UserError('say what to measure: --pipeline or --bandwidth')
