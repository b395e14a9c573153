"""Which image topics of a bag are the RGB and the thermal ones: by names, types and encodings.

Refused where several would do: a depth image looks like a picture, too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UserError

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')

_THERMAL = (
    'thermal',
    'lwir',
    'tir',
    'boson',
    'lepton',
    'flir',
    'seek',
    'optris',
    'tau2',
    'vividia',
)
_INFRARED = ('ir', 'infrared')  # thermal, or what lights a scene itself
_NEAR = re.compile(r'infra\d*|infrared\d+|nir|ir\d')  # stereo cameras' near infrared
_OTHER = ('depth', 'disparity', 'confidence', 'mask', 'fused', 'detections', 'annotated', 'overlay')
_COLOUR = ('color', 'colour', 'rgb', 'visible', 'vis')
_READ_BADLY = ('compresseddepth', 'theora', 'ffmpeg', 'zstd')  # transports without a decoder here


@dataclass(frozen=True)
class BagTopics:
    """The topics of a bag that are to be fused, and whether each holds compressed images."""

    rgb: str
    thermal: str
    compressed: dict[str, bool]


@dataclass(frozen=True)
class Candidate:
    """An image topic. encoding: of its first message; of compressed images the format."""

    name: str
    type: str
    encoding: str = ''

    @property
    def compressed(self) -> bool:
        return self.type == IMAGE_TYPES[1]

    @property
    def base(self) -> str:
        """Without the transport: raw and compressed are one camera."""
        return self.name.removesuffix('/compressed')

    @property
    def words(self) -> set[str]:
        return set(re.split(r'[/_]', self.name.lower()))

    @property
    def readable(self) -> bool:
        coded = self.name.lower().rsplit('/', 1)[-1] in _READ_BADLY
        return not coded and 'compressedDepth' not in self.encoding and self.encoding != '32FC1'

    @property
    def near_infrared(self) -> bool:
        return any(_NEAR.fullmatch(word) for word in self.words)

    def as_thermal(self) -> int:
        """How well it may be the thermal one; 0: not at all."""
        if self.words & {*_OTHER} or self.near_infrared:
            return 0
        if any(word in self.name.lower() for word in _THERMAL):
            return 2
        return int(bool(self.words & {*_INFRARED}))

    def as_rgb(self) -> int:
        """How well it may be the RGB one; 0: not at all."""
        if self.words & {*_OTHER} or self.near_infrared or self.as_thermal():
            return 0
        grey = self.encoding.startswith(('mono', '8UC1', '16UC1'))
        return 1 + bool(self.words & {*_COLOUR}) + 2 * (not grey)


def choose(
    topics: Mapping[str, str],
    encodings: Mapping[str, str],
    rgb: str | None,
    thermal: str | None,
    where: object,
) -> BagTopics:
    """The two topics: as named, else the one that fits best. Raises UserError.

    topics: names to types. encodings: of the first message of each image topic, as far as known.
    where: for messages.
    """
    images = [
        Candidate(name, kind, encodings.get(name, ''))
        for name, kind in topics.items()
        if kind in IMAGE_TYPES
    ]
    known = {candidate.name: candidate for candidate in images}
    listed = ', '.join(known) or 'none'
    for topic in filter(None, (rgb, thermal)):
        if topic not in topics:
            raise UserError(
                f'{where} has no topic {topic}; its image topics are {listed}.'
                f'{nearest_names(topic, list(topics))}'
            )
        if topic not in known:
            raise UserError(
                f'{topic} in {where} holds {topics[topic]}, expected {" or ".join(IMAGE_TYPES)}'
            )
    thermal = thermal or _best(images, 'thermal', {rgb}, where)
    rgb = rgb or _best(images, 'rgb', {thermal}, where)
    if rgb is None or thermal is None:
        near = [c.name for c in images if c.near_infrared]
        raise UserError(
            f'{where} has the image topics {listed}; name the two with --rgb-topic and '
            '--thermal-topic'
            + f' ({", ".join(near)}: near infrared by its name, not thermal)'
            * bool(near)
        )
    return BagTopics(rgb, thermal, {topic: known[topic].compressed for topic in (rgb, thermal)})


def _best(
    images: list[Candidate], stream: str, taken: set[str | None], where: object
) -> str | None:
    """The topic that fits a stream best. Raises UserError where several do."""
    used = {name.removesuffix('/compressed') for name in taken if name}
    ranks = {
        c: c.as_thermal() if stream == 'thermal' else c.as_rgb()
        for c in images
        if c.base not in used
    }
    # What can't be read is taken where there is nothing else: its refusal says why.
    if any(rank and c.readable for c, rank in ranks.items()):
        ranks = {c: rank for c, rank in ranks.items() if c.readable}
    highest = max(ranks.values(), default=0)
    if not highest:
        return None
    best = [c for c, rank in ranks.items() if rank == highest]
    if len({c.base for c in best}) > 1:
        raise UserError(
            f'{where} has several topics that may be the {stream} one: '
            f'{", ".join(c.name for c in best)}; name it with --{stream}-topic'
        )
    return min(best, key=lambda c: c.compressed).name  # raw before compressed


def nearest_names(name: str, known: list[str]) -> str:
    """A hint for a name that was not found: ' Did you mean a or b?', or nothing."""
    near = difflib.get_close_matches(name, known, 2, 0.4)
    return f' Did you mean {" or ".join(near)}?' if near else ''
