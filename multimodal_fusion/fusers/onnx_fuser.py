"""A fuser from a model file, run by ONNX Runtime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import NO_MEMORY, UserError, out_of_memory, told
from ..runtime.session import Runner, fallback_notice, open_session
from . import blending
from .pair import size_text
from .text import vector
from .tiles import LEAST, tiled


@dataclass(frozen=True)
class OnnxModel:
    """A model file, ready to run; the fields are those of `fuser.Fuser`."""

    kind: str
    run: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]
    provider: str
    metadata: dict[str, str]
    notice: str
    blends: bool


def load_onnx(
    content: bytes,
    path: Path,
    providers: Sequence[str],
    threads: int,
    fp16: bool,
    mask_scale: float,
    text: str = '',
    tile: int = 0,
) -> OnnxModel:
    """A fusion model from checked bytes. path: for messages. text: of `fusers.text`, for a model
    that is told one. tile: side of `tiles.tiled`, 0 for whole images. Raises UserError.
    """
    if not 0 < mask_scale <= 1:
        raise UserError(f'mask_scale must be above 0 and at most 1, got {mask_scale:g}')
    if 0 < tile < LEAST:
        raise UserError(f'the tile (model.tile) must be 0 or at least {LEAST} pixels, got {tile}')
    session = open_session(content, path, providers, threads, fp16)
    channels, blends = _check_contract(session, path)
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    told_text = _text_input(session, path, text, metadata)
    runner = Runner(session)

    def whole(visible: np.ndarray, thermal: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        feed = {
            'visible': visible.reshape(1, *thermal.shape, channels),
            'thermal': thermal[None, ..., None],
            **told_text,
        }
        try:
            shapes = {'fused': feed['visible'].shape}
            if blends:
                shapes['mask'] = feed['thermal'].shape
            fused, *mask = runner.run(feed, shapes)
            if fused.shape != shapes['fused']:
                raise ValueError(f'fused has the shape {fused.shape}, not {shapes["fused"]}')
        except Exception as error:  # the runtime's own exception types share no base class
            if out_of_memory(error):
                raise UserError(f'{path}, {size_text(thermal)}: {NO_MEMORY}') from error
            raise UserError(
                f'{path} failed on a {size_text(thermal)} image: {told(error)}; a fusion model '
                'must take any size from 32x32'
            ) from error
        return fused[0, ..., 0] if channels == 1 else fused[0], mask[0][0, ..., 0] if mask else None

    def blended(visible: np.ndarray, thermal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        small = (blending.reduced(image, mask_scale) for image in (visible, thermal))
        mask = whole(*small)[1]
        assert mask is not None  # it blends
        mask = blending.enlarge(mask, thermal.shape)
        return blending.blend(thermal, visible, mask), mask

    run = blended if blends and mask_scale < 1 else whole
    provider = session.get_providers()[0]
    return OnnxModel(
        'luma' if channels == 1 else 'colour',
        tiled(run, tile) if tile else run,
        provider=provider,
        metadata=metadata,
        notice=fallback_notice(session, path, providers, fp16),
        blends=blends,
    )


def _text_input(session, path: Path, text: str, metadata: dict[str, str]) -> dict[str, np.ndarray]:
    """What a model that is told a text gets beside the images. Raises UserError."""
    numbers = [port.shape[1] for port in session.get_inputs() if port.name == 'text']
    if not numbers:
        if text:
            raise UserError(f'{path.stem} is told no text: leave --text (model.text) out')
        return {}
    if not text:
        raise UserError(
            f'{path.stem} is a teacher of the text prior, which is told what is wrong: give it a '
            'text by --text (model.text), such as "low light, noisy thermal" or "clean"; a node '
            'takes its student, made by "train textprior-student"'
        )
    told_text = vector(text, metadata)
    if told_text.shape[1] != numbers[0]:
        raise UserError(
            f'{path.stem} takes texts of {numbers[0]} numbers, and its words have '
            f'{told_text.shape[1]}: export it again from its run'
        )
    return {'text': told_text}


def _check_contract(session, path: Path) -> tuple[int, bool]:
    """The channels of visible, 1 or 3, and whether there is a mask, an output of blending models.

    Raises UserError if the model is another kind.
    """
    ports = {
        port.name: port
        for port in [*session.get_inputs(), *session.get_outputs()]
        if port.name != 'text'
    }
    shapes = {
        name: port.shape[3] if len(port.shape) == 4 and port.type == 'tensor(uint8)' else None
        for name, port in ports.items()
    }
    channels, blends = shapes.get('visible'), 'mask' in shapes
    expected = {'visible': channels, 'thermal': 1, 'fused': channels}
    if channels not in (1, 3) or shapes != expected | ({'mask': 1} if blends else {}):
        found = ', '.join(f'{port.name} {port.type} {port.shape}' for port in ports.values())
        raise UserError(
            f'{path} is not a fusion model: expected uint8 visible (1, H, W, 1 or 3), '
            f'thermal (1, H, W, 1), fused like visible and at most a mask like thermal, found '
            f'{found}; '
            'make one with "python -m multimodal_fusion export"'
        )
    return channels, blends
