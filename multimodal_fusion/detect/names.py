"""What a detector's classes are called."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError, quoted
from ..io.text_files import read_text

_COCO = """person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant
    stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack
    umbrella handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat
    baseball_glove skateboard surfboard tennis_racket bottle wine_glass cup fork knife spoon bowl
    banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair couch potted_plant
    bed dining_table toilet tv laptop mouse remote keyboard cell_phone microwave oven toaster sink
    refrigerator book clock vase scissors teddy_bear hair_drier toothbrush"""
COCO = tuple(name.replace('_', ' ') for name in _COCO.split())
"""The 80 classes that stock models know, in their order."""

_MOST = 1_000_000  # characters of metadata
_GAPS = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_NEXT = iter(COCO)
COCO_BY_ID = tuple('N/A' if number in _GAPS else next(_NEXT) for number in range(91))
"""By COCO's own numbers, which have gaps: DETR, YOLOS, RF-DETR."""


def class_names(metadata: Mapping[str, str], file: str, count: int | None) -> tuple[str, ...]:
    """The names of a model's classes: from a file, one a line, else from the model's metadata
    (``names``, as JSON or as Python writes it), else COCO's if there are 80, else their numbers.

    count: how many classes the model has, None if that is not known. Raises UserError.
    """
    if file:
        lines = read_text(Path(file), 'the class names in').splitlines()
        names, source = tuple(line.strip() for line in lines if line.strip()), file
    elif 'names' in metadata:
        names, source = parse(metadata['names']), "the model's metadata"
    else:
        if count == len(COCO_BY_ID):
            return COCO_BY_ID
        numbers = tuple(str(number) for number in range(count or len(COCO)))
        return COCO if count in (None, len(COCO)) else numbers
    if count is not None and len(names) != count:
        raise UserError(
            f'{source} has {len(names)} class names, the model has {count} classes: give '
            'detector.labels a file with one name a line, in the order of the classes'
        )
    return names


def parse(text: str) -> tuple[str, ...]:
    """Names from a list, or from a mapping of numbers to names. Raises UserError."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text[:_MOST])
            if isinstance(found, dict):
                found = [name for _, name in sorted(found.items(), key=lambda item: int(item[0]))]
        except (ValueError, TypeError, SyntaxError, ArithmeticError, MemoryError, RecursionError):
            continue
        if isinstance(found, list | tuple):
            return tuple(map(str, found))
    raise UserError(
        f"the model's metadata has class names that cannot be read ({text[:60]!r}): give "
        'detector.labels a file with one name a line'
    )


def chosen(names: tuple[str, ...], wanted: str) -> frozenset[int] | None:
    """The numbers of the classes named in a list by comma; None for all. Raises UserError."""
    if not wanted.strip():
        return None
    listed = [name.strip() for name in wanted.split(',') if name.strip()]
    unknown = [name for name in listed if name not in names]
    if unknown:
        some = ', '.join(names[:8]) + (', …' if len(names) > 8 else '')
        raise UserError(f'the detector has no class {quoted(unknown[0])}; it has {some}')
    return frozenset(names.index(name) for name in listed)
