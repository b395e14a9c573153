"""One call: ``fuse(visible, thermal) -> fused``, classical and learned alike.

fuser = Fuser.load('mmdrfuse')
fused = fuser.fuse(visible, thermal)   # uint8, shape of visible
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import blending
from .classical import CLASSICAL
from .errors import UserError
from .fusers.kernel.compiled import compiled as compile_model
from .images import luma
from .model_file import Manifest, metadata, read_model
from .runtime import Runner, fallback_notice, half_notice, open_session

MIN_SIDE = 32
MASK_SCALE = 0.5  # see docs/results/mobilefuse.md for what it costs and saves


@dataclass(frozen=True)
class ModelInfo:
    """What a fuser is, for people: shown by ``models``, ``doctor`` and the node's diagnostics."""

    name: str
    kind: str
    source: str
    licence: str
    parameters: int = 0
    bytes: int = 0
    description: str = ''


class Fuser:
    """A fusion method, loaded and ready. Make one with `Fuser.load`.

    kind: ``luma`` (fuses luma, colour comes back from the visible image) or ``colour``.
    blends: whether it blends by a mask, which `fuse_and_mask` returns.
    provider: the ONNX Runtime provider in use, ``compiled``, or ``opencv``.
    notice: a sentence when what was asked for is not what was got, else empty.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        run: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]],
        provider: str = 'opencv',
        metadata: dict[str, str] | None = None,
        notice: str = '',
        returns_colour: bool = False,
        blends: bool = False,
    ):
        """run: (visible, thermal) to fused and mask, or None; visible is luma unless kind is
        ``colour`` (RGB) or run ``returns_colour`` itself (BGR or grey)."""
        self.name, self.kind, self.provider, self.notice = name, kind, provider, notice
        self.blends = blends
        self.metadata = metadata or {}
        self._run, self._returns_colour = run, returns_colour

    @staticmethod
    def load(
        name_or_path: str,
        providers: Sequence[str] = ('cpu',),
        threads: int = 1,
        allow_unlisted: bool = False,
        manifest: Manifest | None = None,
        compiled: bool = True,
        fp16: bool = False,
        mask_scale: float = MASK_SCALE,
    ) -> 'Fuser':
        """Load a classical fuser, a model of ``models.yaml``, or an ONNX file.

        name_or_path: a name listed by ``models``, ``default``, or a path that ends in .onnx.
        providers: of ``cpu``, ``cuda``, ``tensorrt``, in order of preference. threads: of learned
        models on the CPU. compiled: on the CPU, run models of the mini-model's shape by the
        compiled kernel, where it was built; it needs no ONNX Runtime. fp16: half precision, on
        TensorRT; elsewhere single precision, and a notice. mask_scale: of models that blend by a
        mask, the share of the sides at which the mask is computed, up to 1. Raises UserError.
        """
        if name_or_path in CLASSICAL:
            method = CLASSICAL[name_or_path]
            notice = half_notice(name_or_path, 'the CPU', fp16)
            if providers and providers[0] != 'cpu':
                notice = f'{providers[0]} was asked for, but {name_or_path} runs on the CPU only'
            return Fuser(
                name_or_path,
                'luma',
                maskless(lambda visible, thermal: method(thermal, visible)),
                notice=notice,
            )
        manifest = manifest or Manifest.load()
        name, path = find_model(name_or_path, manifest)
        content = read_model(path, manifest, allow_unlisted)
        on_cpu = list(providers[:1]) == ['cpu']
        kernel = compile_model(content, threads) if compiled and on_cpu else None
        if kernel is not None:
            return Fuser(
                name,
                'luma',
                maskless(kernel.fuse),
                'compiled',
                metadata(content),
                half_notice(name, 'the CPU', fp16),
                returns_colour=True,
            )
        return _from_onnx(content, path, name, providers, threads, fp16, mask_scale)

    def fuse(self, visible: np.ndarray, thermal: np.ndarray) -> np.ndarray:
        """Fuse one registered pair.

        visible: uint8 (H, W, 3) BGR or (H, W) grey. thermal: uint8 (H, W), white-hot.
        Returns uint8 of visible's shape. H and W are at least 32. Raises UserError.
        """
        return self.fuse_and_mask(visible, thermal)[0]

    def fuse_and_mask(
        self, visible: np.ndarray, thermal: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `fuse`, and the mask: uint8 (H, W), 255 where all is thermal; None without one."""
        check_pair(visible, thermal)
        if self.kind == 'colour':
            colour = visible if visible.ndim == 3 else cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
            fused, mask = self._run(np.ascontiguousarray(colour[..., ::-1]), thermal)
            fused = np.ascontiguousarray(fused[..., ::-1])
            return (fused if visible.ndim == 3 else luma(fused)), mask
        if self._returns_colour:
            return self._run(visible, thermal)
        grey = luma(visible)
        fused, mask = self._run(grey, thermal)
        return return_colour(visible, grey, fused), mask

    def warm_up(self, shape: tuple[int, int]) -> None:
        """Run once at (H, W), so that the first real frame does not pay for set-up."""
        self.fuse(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))


def maskless(
    fuse: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, None]]:
    """What `Fuser` runs, of a function that has no mask to give."""
    return lambda visible, thermal: (fuse(visible, thermal), None)


def check_pair(visible: np.ndarray, thermal: np.ndarray) -> None:
    """Refuse what `Fuser.fuse` cannot take. Raises UserError."""
    for name, image, layouts in (
        ('visible', visible, 'uint8 (H, W, 3) BGR or (H, W) grey'),
        ('thermal', thermal, 'uint8 (H, W) white-hot'),
    ):
        fits = image.ndim == 2 or (name == 'visible' and image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not fits:
            raise UserError(f'the {name} image must be {layouts}, got {image.dtype} {image.shape}')
    if visible.shape[:2] != thermal.shape:
        raise UserError(
            f'the visible image is {_size(visible)}, the thermal image {_size(thermal)}: they must '
            'be registered to the same size; if both see the same field of view, '
            '--registration resize (registration.mode: resize) does it, else give the node a '
            'homography (registration.mode, registration.homography)'
        )
    if min(thermal.shape) < MIN_SIDE:
        raise UserError(
            f'the images are {_size(thermal)}; both sides must be at least {MIN_SIDE} pixels'
        )


def return_colour(visible: np.ndarray, grey: np.ndarray, fused: np.ndarray) -> np.ndarray:
    """Add the change of luma to every channel and clip: Y is replaced, Cb and Cr are kept.

    visible: uint8 (H, W, 3) or (H, W). grey: its luma. fused: fused luma, uint8 (H, W).
    Returns uint8 of visible's shape.
    """
    if visible.ndim == 2:
        return fused
    # Of the two saturated differences one is zero at every pixel, so this is exact in 8 bits.
    brighter = cv2.cvtColor(cv2.subtract(fused, grey), cv2.COLOR_GRAY2BGR)
    darker = cv2.cvtColor(cv2.subtract(grey, fused), cv2.COLOR_GRAY2BGR)
    return cv2.subtract(cv2.add(visible, brighter), darker)


def find_model(name_or_path: str, manifest: Manifest) -> tuple[str, Path]:
    """The name and the file of a learned model, as `Fuser.load` finds it. Raises UserError."""
    if name_or_path == 'default':
        name_or_path = manifest.default
    entry = manifest.models.get(name_or_path)
    if entry is not None:
        return entry.name, manifest.folder / entry.file
    if name_or_path in manifest.detectors:
        raise UserError(
            f'{name_or_path} is a detector, not a fuser: it goes into detector.model '
            '(evaluate: --detector)'
        )
    path = Path(name_or_path)
    if path.suffix.lower() != '.onnx':
        raise _unknown(name_or_path, [*CLASSICAL, *manifest.models])
    return path.stem, path


def available(manifest: Manifest | None = None) -> list[ModelInfo]:
    """Everything that loads by name: classical fusers, then ``models.yaml``, detectors last."""
    manifest = manifest or Manifest.load()
    found = [
        ModelInfo(name, 'luma', 'classical', 'Apache-2.0', description=first_line(method.__doc__))
        for name, method in CLASSICAL.items()
    ]
    for entry in (*manifest.models.values(), *manifest.detectors.values()):
        path = manifest.folder / entry.file
        found.append(
            ModelInfo(
                entry.name,
                entry.kind,
                f'learned: {entry.made_by}' if entry.made_by else 'learned',
                entry.licence,
                entry.parameters,
                path.stat().st_size if path.is_file() else 0,
                entry.description,
            )
        )
    return found


def first_line(text: str | None) -> str:
    return (text or '').strip().splitlines()[0]


def _from_onnx(
    content: bytes,
    path: Path,
    name: str,
    providers: Sequence[str],
    threads: int,
    fp16: bool,
    mask_scale: float,
) -> Fuser:
    if not 0 < mask_scale <= 1:
        raise UserError(f'mask_scale must be above 0 and at most 1, got {mask_scale:g}')
    session = open_session(content, path, providers, threads, fp16)
    channels, blends = _check_contract(session, path)
    runner = Runner(session)

    def whole(visible: np.ndarray, thermal: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        feed = {
            'visible': visible.reshape(1, *thermal.shape, channels),
            'thermal': thermal[None, ..., None],
        }
        try:
            shapes = {'fused': feed['visible'].shape}
            if blends:
                shapes['mask'] = feed['thermal'].shape
            fused, *mask = runner.run(feed, shapes)
            if fused.shape != shapes['fused']:
                raise ValueError(f'fused has the shape {fused.shape}, not {shapes["fused"]}')
        except Exception as error:  # the runtime's own exception types share no base class
            raise UserError(
                f'{path} failed on a {_size(thermal)} image: {error}; a fusion model must take '
                'any size from 32x32'
            ) from error
        return fused[0, ..., 0] if channels == 1 else fused[0], mask[0][0, ..., 0] if mask else None

    def blended(visible: np.ndarray, thermal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        small = (blending.reduced(image, mask_scale) for image in (visible, thermal))
        mask = blending.enlarge(whole(*small)[1], thermal.shape)
        return blending.blend(thermal, visible, mask), mask

    provider = session.get_providers()[0]
    return Fuser(
        name,
        'luma' if channels == 1 else 'colour',
        blended if blends and mask_scale < 1 else whole,
        provider=provider,
        metadata=dict(session.get_modelmeta().custom_metadata_map),
        notice=fallback_notice(session, path, providers, fp16),
        blends=blends,
    )


def _check_contract(session, path: Path) -> tuple[int, bool]:
    """The channels of visible, 1 or 3, and whether there is a mask, an output of blending models.

    Raises UserError if the model is another kind.
    """
    ports = {port.name: port for port in [*session.get_inputs(), *session.get_outputs()]}
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


def _unknown(name: str, known: list[str]) -> UserError:
    near = difflib.get_close_matches(name, known, 1)
    hint = f' Did you mean {near[0]!r}?' if near else ''
    return UserError(
        f'there is no model {name!r}; known are {", ".join(known)}, '
        f'or give the path of an .onnx file.{hint}'
    )


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
