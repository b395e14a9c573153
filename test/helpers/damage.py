"""What may happen to a file: each kind of damage, made anew from what is whole."""

import json

import numpy as np


def damages(content: bytes) -> dict[str, bytes | None]:
    """{kind: the bytes then}; None for a file that is gone."""
    random = np.random.default_rng(0)
    flipped = np.frombuffer(content, np.uint8).copy()
    flipped[random.integers(len(flipped), size=max(1, len(flipped) // 50))] ^= 0x5A
    return {
        'gone': None,
        'empty': b'',
        'one byte': content[:1],
        'cut in half': content[: len(content) // 2],
        'last byte gone': content[:-1],
        'zeros': bytes(len(content)),
        'noise': random.bytes(len(content)),
        'bytes flipped': flipped.tobytes(),
        'JSON of something else': json.dumps([1, {'a': None}]).encode(),
        'text': 'Grüße\n'.encode('latin-1') * 3,
    }


def put(path, content: bytes | None) -> None:
    """Write, or take away, a file."""
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
