"""The grey training crops as one compressed file, so that they travel to another machine."""

import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np

from ...errors import UserError, told
from ...io.image_codec import decode
from ...io.stems import Selection
from ...io.whole_files import whole_file
from .fingerprint import digest
from .pairs import ALL, MIN_SIDE, Folders, ImagePair, load_folders, spread

FORMAT = 1
LIMIT = 60_000_000  # bytes
_LARGEST = 1 << 28  # bytes of one packed pair
VALIDATION = 16  # pairs, their middles
LOSSLESS = [cv2.IMWRITE_WEBP_QUALITY, 101]


def pack(
    folder: Path,
    path: Path,
    side: int,
    limit: int = LIMIT,
    seed: int = 0,
    selection: Selection = ALL,
) -> dict:
    """Write crops of all training pairs, lossless, until they take ``limit`` bytes.

    side: of the crops, pixels; smaller images go in whole. Pairs take turns, each time at another
    place, so that every pair is there before one comes twice.
    Returns what was written. Raises UserError.
    """
    data = load_folders(folder, selection=selection)
    random = np.random.default_rng(seed)
    validation = [pair.centre(2 * side) for pair in spread(data.validation, VALIDATION)]
    train, size = [], 10_000 + sum(len(_encode(pair)) for pair in validation)
    area = sum(pair.thermal.size for pair in data.train)
    turns = max(1, round(area / side**2 / len(data.train)))
    for _ in range(turns):
        for pair in data.train:
            crop = crop_of(pair, side, random)
            encoded = _encode(crop)
            size += len(encoded) + 250  # the directory of the archive, generously
            if size > limit:
                break
            train.append((pair.stem, encoded))
        if size > limit:
            break
    if len(train) < 2:
        raise UserError(f'not even two crops of {side} pixels fit into {limit} bytes')
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, 'w') as archive:
        archive.writestr('about.txt', f'{FORMAT}\n{data.description}, {len(train)} packed crops\n')
        for i, (stem, encoded) in enumerate(train):
            archive.writestr(f'train/{i:05d}-{stem}.webp', encoded)
        for i, pair in enumerate(validation):
            archive.writestr(f'val/{i:05d}-{pair.stem}.webp', _encode(pair))
    return {'file': str(path), 'bytes': Path(path).stat().st_size, 'crops': len(train)}


def load_packed(path: Path, selection: Selection = ALL) -> Folders:
    """Read a file of `pack`. selection: as in `load_folders`. Raises UserError."""
    found = {'train': [], 'val': []}
    try:
        with zipfile.ZipFile(path) as archive:
            version, description = archive.read('about.txt').decode().splitlines()
            if version != str(FORMAT):
                raise ValueError(f'it has format {version}, this version reads {FORMAT}')
            for info in archive.infolist()[1:]:
                split, _, rest = info.filename.partition('/')
                if info.file_size > _LARGEST:
                    raise ValueError(f'{info.filename} unpacks to {info.file_size} bytes')
                found[split].append(_decode(rest[6:-5], archive.read(info)))
        for split, pairs in found.items():
            if not pairs:
                raise ValueError(f'it holds no pairs for {split}')
    # zipfile says RuntimeError for encrypted parts and NotImplementedError for unknown methods.
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        LookupError,
        ValueError,
        RuntimeError,
    ) as error:
        raise UserError(f'{path} is not a file of "data pack": {told(error)}') from error
    train = selection.choose(found['train'], path)
    validation = selection.leave_out(found['val'], path)
    if len(train) < len(found['train']):
        description += f', {len(train)} of them used'
    stems = (pair.stem for pair in (*train, *validation))
    return Folders(train, validation, description, digest([Path(path), *stems]))


def crop_of(pair: ImagePair, side: int, random: np.random.Generator) -> ImagePair:
    """A square crop anywhere in a pair, which goes in whole where it is smaller."""
    sides = [min(side, length) for length in pair.thermal.shape]
    top, left = (
        random.integers(length - part + 1)
        for length, part in zip(pair.thermal.shape, sides, strict=True)
    )
    window = np.s_[top : top + sides[0], left : left + sides[1]]
    return ImagePair(pair.stem, pair.thermal[window], pair.visible[window])


def _encode(pair: ImagePair) -> bytes:
    """Thermal above visible, one grey lossless WebP."""
    image = np.vstack((pair.thermal, pair.visible))
    done, content = cv2.imencode('.webp', cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), LOSSLESS)
    if not done:
        raise UserError('OpenCV cannot write WebP here')
    return content.tobytes()


def _decode(stem: str, content: bytes) -> ImagePair:
    image = decode(np.frombuffer(content, np.uint8))
    if image.ndim != 3 or len(image) % 2:
        raise ValueError(f'{stem} is not a packed pair')
    thermal, visible = np.split(np.ascontiguousarray(image[:, :, 0]), 2)
    if min(thermal.shape) < MIN_SIDE:
        raise ValueError(f'{stem} is {thermal.shape[1]}x{thermal.shape[0]}')
    return ImagePair(stem, thermal, visible)
