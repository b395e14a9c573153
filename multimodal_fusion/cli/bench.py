"""What fusion costs on this machine."""

import argparse

from ..benchmark import pipeline
from ..errors import UserError

HELP = 'Measure what fusion costs on this machine.'
EXAMPLE = 'python -m multimodal_fusion bench --pipeline'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--pipeline', action='store_true', help='the node over DDS')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')
    pipeline.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.pipeline:
        return pipeline.run(args)
    raise UserError('say what to measure: --pipeline')
