"""What a text says is wrong with a pair, and that as numbers, for models that are told one."""

import json
from collections.abc import Mapping

import numpy as np

from ..errors import UserError, quoted

VISIBLE, THERMAL = 'visible', 'thermal'
#: {(image, fault): beginnings of the words that name it}
FAULTS: dict[tuple[str, str], tuple[str, ...]] = {
    (VISIBLE, 'low light'): ('low light', 'dark', 'underexpos', 'night'),
    (VISIBLE, 'over-exposure'): ('over-expos', 'overexpos', 'bright', 'glare'),
    (VISIBLE, 'low contrast'): ('low contrast', 'faint', 'flat'),
    (VISIBLE, 'haze'): ('haz', 'fog', 'mist'),
    (VISIBLE, 'blur'): ('blur', 'out of focus', 'defocus'),
    (VISIBLE, 'noise'): ('nois', 'grain'),
    (THERMAL, 'noise'): ('nois', 'grain'),
    (THERMAL, 'stripes'): ('strip', 'fixed pattern', 'column'),
    (THERMAL, 'dead rows'): ('dead row', 'dead line', 'lost line'),
    (THERMAL, 'low contrast'): ('low contrast', 'faint', 'flat'),
    (THERMAL, 'blur'): ('blur', 'out of focus', 'defocus'),
    (THERMAL, 'saturation'): ('saturat', 'clipp'),
}
PHRASES = tuple(f'{name} in the {image} image' for image, name in FAULTS)
_IMAGES = {THERMAL: ('thermal', 'infrared'), VISIBLE: ('visible', 'rgb')}


def faults_in(text: str) -> np.ndarray:
    """Which faults a text names, float32 (faults,).

    A part of it (by commas, full stops or colons) that says ``thermal`` or ``infrared``,
    ``visible`` or ``RGB`` is of that image, and what follows is too; before that, of whichever can
    have it.
    ``clean`` names none. Raises UserError if nothing in it is known.
    """
    which, image, clean = np.zeros(len(FAULTS), np.float32), None, False
    for mark in '\n.;:':
        text = text.replace(mark, ',')
    for part in text.casefold().split(','):
        named = [name for name, marks in _IMAGES.items() if any(mark in part for mark in marks)]
        image = named[0] if named else image
        clean |= 'clean' in part
        for number, ((of, _), words) in enumerate(FAULTS.items()):
            if image in (None, of) and any(word in part for word in words):
                which[number] = 1
    if not which.any() and not clean:
        known = '; '.join(
            f'{image}: {", ".join(name for of, name in FAULTS if of == image)}'
            for image in (VISIBLE, THERMAL)
        )
        raise UserError(f'{quoted(text)} names no fault that is known ({known}); or say "clean"')
    return which


def vector(text: str, metadata: Mapping[str, str]) -> np.ndarray:
    """A text as a model file wants it, float32 (1, numbers): the mean over the phrases that it
    names, by the table ``phrases`` of its metadata; 0 of none. Raises UserError.
    """
    try:
        table = {phrase: np.array(row, np.float32) for phrase, row in
                 json.loads(metadata['phrases']).items()}  # fmt: skip
        rows = [table[phrase] for phrase in PHRASES]
        together = np.stack(rows)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            'the model takes a text and has no vectors for the words of this version: export it '
            'again from its run'
        ) from error
    which = faults_in(text)
    return (which @ together / max(which.sum(), 1))[None].astype(np.float32)
