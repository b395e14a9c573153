"""Data sets of image pairs: where their folders are, and which files belong together."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import BadImage, UserError
from .image_files import IMAGE_SUFFIXES
from .places import each_once, fingerprint, matching, name_of, patterns, place, reaching


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps its images, as paths below its folder, upper or lower case.

    ``thermal`` is whatever is fused into the visible image: MRI for medical pairs, whose coloured
    partner (PET, SPECT) takes the visible's place.
    """

    name: str
    visible: str
    thermal: str


LAYOUTS = (
    Layout('ours', 'vis', 'ir'),
    Layout('MSRS', 'vi', 'ir'),
    Layout('MSRS', 'test/vi', 'test/ir'),
    Layout('RoadScene', 'crop_LR_visible', 'cropinfrared'),
    Layout('LLVIP', 'visible/test', 'infrared/test'),
    Layout('VIFB', 'input/vi', 'input/ir'),
    Layout('TNO', 'visible', 'infrared'),
    Layout('KAIST', 'visible', 'lwir'),
    Layout('plain', 'vis', 'thermal'),
    Layout('plain', 'visible', 'thermal'),
    Layout('plain', 'rgb', 'thermal'),
    Layout('plain', 'rgb', 'ir'),
    Layout('plain', 'color', 'thermal'),
    Layout('Harvard PET', 'pet', 'mri'),
    Layout('Harvard SPECT', 'spect', 'mri'),
    Layout('Harvard CT', 'ct', 'mri'),
    Layout('Harvard PET', 'test/pet', 'test/mri'),
    Layout('Harvard SPECT', 'test/spect', 'test/mri'),
    Layout('Harvard CT', 'test/ct', 'test/mri'),
)
"""Tried in this order. M3FD (Vis, Ir) and the test folders of CDDFuse (vi, ir) are among them."""


@dataclass(frozen=True)
class PairFiles:
    """A visible and a thermal image file that show the same thing."""

    stem: str
    visible: Path
    thermal: Path


@dataclass(frozen=True)
class PairSet:
    """The pairs of a data set in order of stem, and the stems that have no partner."""

    layout: str
    pairs: list[PairFiles]
    alone: list[str]


def find_pairs(data: Path) -> PairSet:
    """The pairs of a data set in a known layout. Raises UserError that says what is there."""
    with reaching(data):
        if not data.is_dir():
            raise UserError(f'the data folder {data} does not exist or is not a folder')
        if found := layout_of(data):
            layout, visible, thermal = found
            pairs, alone = match_by_stem(visible, thermal)
            return PairSet(layout.name, pairs, alone)
        held = ', '.join(sorted(path.name for path in data.iterdir() if path.is_dir()))
    known = ', '.join(dict.fromkeys(f'{x.visible} + {x.thermal}' for x in LAYOUTS))
    raise UserError(
        f'{data} holds {held or "no folder"}; expected one folder of visible and one of thermal '
        f'images, named as in {known}'
    )


def layout_of(data: Path) -> tuple[Layout, Path, Path] | None:
    """The layout of a folder, with its two folders of images; None for another folder."""
    for layout in LAYOUTS:
        visible, thermal = (below(data, path) for path in (layout.visible, layout.thermal))
        if visible and thermal:
            return layout, visible, thermal
    return None


def find_sets(text: str) -> list[str]:
    """The data sets of a pattern (``share/*``), below a folder, or that a text file names, a line
    each; here or remote (see `places`); sorted, each once. Raises UserError where there are
    none."""
    found: set[str] = set()
    for pattern in patterns(text):
        names = matching(pattern)
        for name in [pattern.rstrip('/')] if names is None else names:
            with reaching(name):
                below = [name_of(path, name) for path in _sets_below(place(name), set())]
            # What is named itself and is none is told when it is read.
            found |= set(below or ([name] if names is None else []))
    if not found:
        raise UserError(
            f'{text} gives no data set: give a pattern in quotes ("share/*"), a folder of data '
            'sets, or a text file with one a line'
        )
    return each_once(found)


def _sets_below(folder: Path, seen: set[Path], deep: int = 5) -> list[Path]:
    """The folder itself where it is a data set, else those in it. seen: real folders, each of which
    is looked at once. deep: levels."""
    if not folder.is_dir():
        return []
    real = folder.resolve()
    if real in seen:
        return []
    seen.add(real)
    if layout_of(folder):
        return [folder]
    inside = [f for f in sorted(folder.iterdir()) if deep and not f.name.startswith('.')]
    return [found for f in inside for found in _sets_below(f, seen, deep - 1)]


def mark_of(data: str) -> str:
    """The `places.fingerprint` of a data set. Raises UserError."""
    pairs = find_pairs(place(data)).pairs
    return fingerprint(file for pair in pairs for file in (pair.visible, pair.thermal))


def below(folder: Path, path: str) -> Path | None:
    """A folder below another, whatever the case of its name."""
    for name in path.split('/'):
        match = [
            entry for entry in sorted(folder.iterdir())
            if entry.is_dir() and entry.name.lower() == name.lower()
        ]  # fmt: skip
        if not match:
            return None
        folder = match[0]
    return folder


def images_in(folder: Path) -> dict[str, Path]:
    """The image files of a folder by stem, sorted. Raises UserError if there are none."""
    if not folder.is_dir():
        raise UserError(f'{folder} is not a folder')
    with reaching(folder):
        entries = sorted(folder.iterdir())
    found: dict[str, Path] = {}
    for path in entries:
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.'):
            if path.stem in found:
                raise UserError(
                    f'{folder} holds two images named {path.stem} ({found[path.stem].name}, '
                    f'{path.name}); keep one'
                )
            found[path.stem] = path
    if not found:
        raise UserError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    return found


def match_by_stem(visible: Path, thermal: Path) -> tuple[list[PairFiles], list[str]]:
    """Pairs of equally named images in two folders, and the stems that have no partner.

    Raises UserError if no stem is common to both.
    """
    left, right = images_in(visible), images_in(thermal)
    pairs = [PairFiles(stem, left[stem], right[stem]) for stem in left if stem in right]
    if not pairs:
        raise UserError(
            f'{visible} and {thermal} have no file name in common (such as {next(iter(left))} '
            f'and {next(iter(right))}): images of a pair need the same stem'
        )
    return pairs, sorted(left.keys() ^ right.keys())


_Files = TypeVar('_Files')
_Read = TypeVar('_Read')


def usable(items: Iterable[_Files], read: Callable[[_Files], _Read], folder: Path) -> list[_Read]:
    """What ``read`` makes of the items; those whose images cannot be read are left out and told.

    Raises UserError if none is left, and whatever else ``read`` raises.
    """
    found, bad = [], []
    for item in items:
        try:
            found.append(read(item))
        except BadImage as error:
            bad.append(str(error))
    if bad and not found:
        raise UserError(f'nothing in {folder} can be read; the first: {bad[0]}')
    for sentence in bad:
        print(f'warning: {sentence}; left out', file=sys.stderr)
    return found
