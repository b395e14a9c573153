"""Training pairs that do not fit into memory: tar shards in WebDataset's layout, with an index.

FOLDER/train-000000.tar ...   NUMBER-STEM.thermal.npy and .visible.npy, 8 bits; or .png
FOLDER/val.tar                the middles of validation pairs
FOLDER/index.npz              where in the shards each image lies

A pair is read where the index says it is, when it is asked for: memory does not grow with the set.
Passes go shard by shard, `WINDOW` of them shuffled together, so that a disk or a network sees long
runs; order, share of a process and place in a pass follow from seed and step alone, so that a run
is resumed in the middle of a pass.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ...errors import UserError, told
from ...host.progress import progress
from ...io.image_codec import decode
from ...io.stems import Selection
from ...io.whole_files import make_folder, room_for, whole_file
from .fingerprint import digest
from .packed import VALIDATION, crop_of
from .pairs import ALL, Folders, ImagePair, load_folders, spread

FORMAT = 1
INDEX = 'index.npz'
SHARD = 64_000_000  # bytes
WINDOW = 8  # shards that are shuffled together
_FAST = [
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
]  # fmt: skip


class Entry(NamedTuple):
    """Where a pair lies. shard: number, -1 for validation. Offsets and sizes: bytes, of thermal and
    visible."""

    shard: int
    stem: str
    height: int
    width: int
    offsets: tuple[int, int]
    sizes: tuple[int, int]


def pack_shards(
    folder: Path,
    out: Path,
    side: int,
    count: int | None = None,
    shard: int = SHARD,
    seed: int = 0,
    colour: bool = False,
    kind: str = 'npy',
    selection: Selection = ALL,
) -> dict[str, Any]:
    """Write crops of all training pairs; they take turns, each time at another place.

    side: of the crops, pixels; smaller images go in whole. count: of crops; by default as many as
    the area of the images holds. shard: bytes of one, about. kind: ``npy``, which is read at once,
    or ``png``, which takes half of the room and a millisecond a crop. Returns what was written.
    Raises UserError.
    """
    data = load_folders(folder, colour=colour, selection=selection)
    random = np.random.default_rng(seed)
    if count is None:
        area = sum(pair.thermal.size for pair in data.train)
        count = len(data.train) * max(1, round(area / side**2 / len(data.train)))
    if count < 2:
        raise UserError(f'{count} crops are none to train on; give at least 2')
    make_folder(out)
    if (out / INDEX).exists() or any(out.glob('*.tar')):
        raise UserError(f'{out} holds shards already: give another folder')
    print(room_for(out, count * side * side * (4 if colour else 2)))
    entries: list[Entry] = []
    writer, number = None, -1
    for i in progress(range(count), count, 'crops'):
        if writer is None or writer.full(shard):
            if writer is not None:
                writer.close()
            number += 1
            writer = _Writer(out / f'train-{number:06d}.tar', number, kind)
        pair = data.train[i % len(data.train)]
        entries.append(writer.add(i, crop_of(pair, side, random)))
    assert writer is not None
    writer.close()
    writer = _Writer(out / 'val.tar', -1, kind)
    for i, pair in enumerate(spread(data.validation, VALIDATION)):
        entries.append(writer.add(i, pair.centre(2 * side)))
    writer.close()
    with whole_file(out / INDEX) as temporary:  # last: what has an index is whole
        np.savez_compressed(
            temporary,
            format=FORMAT,
            description=f'{data.description}, {count} crops in {number + 1} shards',
            colour=colour,
            kind=kind,
            shard=np.array([e.shard for e in entries], np.int32),
            stem=np.array([e.stem for e in entries]),
            shape=np.array([(e.height, e.width) for e in entries], np.int32),
            offset=np.array([e.offsets for e in entries], np.int64),
            size=np.array([e.sizes for e in entries], np.int64),
        )
    total = sum(path.stat().st_size for path in out.iterdir())
    return {'folder': str(out), 'bytes': total, 'crops': count, 'shards': number + 1}


class _Writer:
    """One shard. Nothing in it tells when or by whom it was made."""

    def __init__(self, path: Path, number: int, kind: str):
        self.number, self.kind = number, kind
        self._tar = tarfile.open(path, 'w', format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def full(self, limit: int) -> bool:
        return self._tar.offset >= limit

    def add(self, number: int, pair: ImagePair) -> Entry:
        visible = pair.visible
        if visible.ndim == 3 and self.kind == 'png':  # OpenCV's order
            visible = visible[..., ::-1]
        # What stands behind the first dot is the kind of a file to readers of this layout.
        key = f'{number:08d}-{pair.stem.replace(".", "_")[:60]}'
        places = []
        for name, image in (('thermal', pair.thermal), ('visible', visible)):
            content = _encode(np.ascontiguousarray(image), self.kind)
            info = tarfile.TarInfo(f'{key}.{name}.{self.kind}')
            info.size, info.mode = len(content), 0o644
            self._tar.addfile(info, io.BytesIO(content))
            places.append((self._tar.offset - -(-len(content) // 512) * 512, len(content)))
        (a, b), (c, d) = places
        height, width = pair.thermal.shape
        return Entry(self.number, pair.stem, height, width, (a, c), (b, d))

    def close(self) -> None:
        self._tar.close()


def _encode(image: np.ndarray, kind: str) -> bytes:
    if kind == 'png':
        return cv2.imencode('.png', image, _FAST)[1].tobytes()
    out = io.BytesIO()
    np.save(out, image, allow_pickle=False)
    return out.getvalue()


def _decode(content: bytes, kind: str) -> np.ndarray:
    """uint8, as it is stored. Raises UserError or ValueError."""
    if kind == 'png':
        return decode(np.frombuffer(content, np.uint8))
    image = np.load(io.BytesIO(content), allow_pickle=False)
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(f'it holds {image.dtype} of {image.ndim} dimensions')
    return image


class Shards(Sequence[ImagePair]):
    """Pairs of shards, read when they are asked for. index: arrays of `pack_shards`. numbers: of
    its rows, those that there are. shapes: (height, width) of each."""

    def __init__(self, folder: Path, index: dict[str, np.ndarray], numbers: np.ndarray):
        self.folder, self._index, self._numbers = folder, index, numbers
        self.shapes = [tuple(map(int, shape)) for shape in index['shape'][numbers]]
        self._files: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place):
        if isinstance(place, slice):
            return self.chosen(range(len(self))[place])
        row = self._numbers[place]
        stem = str(self._index['stem'][row])
        thermal, visible = (self._image(row, i, stem) for i in (0, 1))
        if visible.ndim == 3 and self._index['kind'] == 'png':
            visible = np.ascontiguousarray(visible[..., ::-1])
        return ImagePair(stem, thermal, visible)

    def chosen(self, places) -> Shards:
        """Some of them."""
        return Shards(self.folder, self._index, self._numbers[list(places)])

    def stems(self) -> list[str]:
        return [str(stem) for stem in self._index['stem'][self._numbers]]

    def shard_of(self, places: np.ndarray) -> np.ndarray:
        """The shard in which each of these pairs lies."""
        return self._index['shard'][self._numbers[places]]

    def _image(self, row: int, which: int, stem: str) -> np.ndarray:
        number = int(self._index['shard'][row])
        path = self.folder / ('val.tar' if number < 0 else f'train-{number:06d}.tar')
        size = int(self._index['size'][row, which])
        try:
            if number not in self._files:
                self._files[number] = os.open(path, os.O_RDONLY)
            content = os.pread(self._files[number], size, int(self._index['offset'][row, which]))
            image = _decode(content, str(self._index['kind']))
        except (OSError, EOFError, ValueError, UserError) as error:
            raise UserError(f'{path} is damaged at {stem}: {told(error)}') from error
        if image.shape[:2] != tuple(self._index['shape'][row]):
            raise UserError(f'{path} is damaged at {stem}: it has another size than the index says')
        return image

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_files': {}}  # files are opened in each process


def in_passes(shards: np.ndarray, random: np.random.Generator, window: int = WINDOW) -> np.ndarray:
    """An order of a pass: shards in turns, so many of them shuffled together.

    shards: int (N,), of each item. Returns a permutation of N.
    """
    known = random.permutation(np.unique(shards))
    turn = np.empty(int(known.max()) + 1, int)
    turn[known] = np.arange(len(known)) // window
    order = random.permutation(len(shards))
    return order[np.argsort(turn[shards[order]], kind='stable')]


class Passes:
    """Passes over sharded pairs, of which each process has its share."""

    def __init__(self, pairs: Shards, seed: int, rank: int = 0, world: int = 1):
        self._shards = pairs.shard_of(np.arange(len(pairs)))
        self._seed, self._rank, self._world = seed, rank, world
        self._known: tuple[int, np.ndarray] | None = None  # the pass, and this share of it

    def batch(self, step: int, size: int) -> np.ndarray:
        """The places of the pairs of a step; what is left at the end of a pass is left out."""
        share = len(self._shards) // self._world
        passes, place = divmod(step, max(1, share // size))
        if self._known is None or self._known[0] != passes:
            random = np.random.default_rng((self._seed, 4 << 32, passes))
            order = in_passes(self._shards, random)[self._rank :: self._world]
            self._known = passes, order
        return np.resize(self._known[1], max(size, share))[place * size : (place + 1) * size]


def is_sharded(folder: Path) -> bool:
    return (folder / INDEX).is_file() or any(folder.glob('train-*.tar'))


def load_shards(folder: Path, selection: Selection = ALL, colour: bool = False) -> Folders:
    """A folder of `pack_shards`. selection: as in `load_folders`. Raises UserError."""
    path = folder / INDEX
    try:
        with np.load(path, allow_pickle=False) as content:
            index = {name: content[name] for name in content.files}
        if int(index['format']) != FORMAT:
            raise ValueError(f'it has format {index["format"]}, this version reads {FORMAT}')
        description, has_colour = str(index['description']), bool(index['colour'])
        count = len(index['stem'])
        lengths = {name: len(index[name]) for name in ('shard', 'shape', 'offset', 'size')}
        if set(lengths.values()) != {count}:
            raise ValueError(f'its parts differ in length: {lengths}')
    except FileNotFoundError:
        raise UserError(
            f'{folder} holds shards without {INDEX}: packing was broken off; remove them, and pack '
            'again'
        ) from None
    except Exception as error:  # numpy and zipfile raise whatever the damage leads them into
        raise UserError(f'{path} is no index of "data pack --shards": {told(error)}') from error
    if colour and not has_colour:
        raise UserError(f'{folder} is grey, and colour is asked for: pack it with --colour')
    if has_colour and not colour:
        raise UserError(f'{folder} has colours, and grey is asked for: pack it without --colour')
    wanted = {f'train-{n:06d}.tar' for n in np.unique(index['shard']) if n >= 0} | {'val.tar'}
    missing = sorted(name for name in wanted if not (folder / name).is_file())
    if missing:
        raise UserError(f'{folder} lacks {missing[0]} and {len(missing) - 1} more of its shards')
    train = Shards(folder, index, np.flatnonzero(index['shard'] >= 0))
    validation = list(Shards(folder, index, np.flatnonzero(index['shard'] < 0)))
    kept = selection.choose([_Stem(s, i) for i, s in enumerate(train.stems())], folder)
    if len(kept) < len(train):
        train = train.chosen([one.place for one in kept])
        description += f', {len(train)} of them used'
    validation = selection.leave_out(validation, folder)
    return Folders(train, validation, description, digest([path, *train.stems()]))


class _Stem(NamedTuple):
    stem: str
    place: int
