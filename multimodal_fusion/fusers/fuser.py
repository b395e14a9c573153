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

from ..errors import UserError, quoted
from ..io.pixels import luma
from ..parameters import option
from ..runtime.manifest import Manifest, Origin, read_model
from ..runtime.onnx_file import metadata
from ..runtime.session import half_notice
from ..runtime.trial import MAX_MEMORY, MAX_SECONDS, try_unlisted
from .classical import CLASSICAL
from .kernel.compiled import compiled as compile_model
from .onnx_fuser import load_onnx
from .pair import check_pair, return_colour
from .tiles import OVERLAP

MASK_SCALE = 0.5  # see docs/results/mobilefuse.md for what it costs and saves
_TRIED = 64  # height and width of the image on which an unlisted model is tried out


@dataclass(frozen=True)
class ModelSettings:
    """Which fuser runs, where and how: ``model.*``."""

    name: str = option(
        'default',
        'Fuser: a name that "multimodal_fusion models" lists, "default", or an .onnx path.',
    )
    provider: str = option(
        'cpu',
        'Where learned models run; falls back to the CPU, and says so.',
        choices=('cpu', 'cuda', 'tensorrt'),
    )
    threads: int = option(1, 'Threads of learned models on the CPU.', low=1, high=64)
    compiled: bool = option(
        True,
        'On the CPU, run the mini-model by the compiled kernel; false: by ONNX Runtime.',
    )
    fp16: bool = option(
        False,
        'Half precision. With provider tensorrt only; else a warning says so.',
    )
    allow_unlisted: bool = option(
        False,
        'Load a model file that models.yaml does not list. Only for files you trust.',
    )
    max_seconds: float = option(
        MAX_SECONDS,
        'How long a model that models.yaml does not list may take when it is tried out.',
        unit='s',
        low=1.0,
        high=3600.0,
    )
    max_memory: float = option(
        MAX_MEMORY,
        'Address space that a model that models.yaml does not list may take when it is tried out.',
        unit='MB',
        low=512.0,
        high=1e6,
    )
    text: str = option(
        '',
        'Of models that are told what is wrong with their images (teachers of the text prior): '
        '"low light, noisy thermal", or "clean".',
    )
    tile: int = option(
        0,
        'Longer images go through models of ONNX Runtime in tiles of this side, which overlap by '
        f'{OVERLAP} pixels; 0 for whole images. For memory, not for speed.',
        unit='pixels',
        low=0,
        high=8192,
    )
    mask_scale: float = option(
        MASK_SCALE,
        'Of models that blend by a mask: share of the image sides at which it is computed.',
        low=0.1,
        high=1.0,
    )


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
        self.origin: Origin | None = None  # of a learned model
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
        max_seconds: float = MAX_SECONDS,
        max_memory: float = MAX_MEMORY,
        text: str = '',
        tile: int = 0,
    ) -> 'Fuser':
        """Load a classical fuser, a model of ``models.yaml``, or an ONNX file.

        name_or_path: a name listed by ``models``, ``default``, a path that ends in .onnx, or the
        folder of a training run.
        providers: of ``cpu``, ``cuda``, ``tensorrt``, in order of preference. threads: of learned
        models on the CPU. compiled: on the CPU, run models of the mini-model's shape by the
        compiled kernel, where it was built; it needs no ONNX Runtime. fp16: half precision, on
        TensorRT; elsewhere single precision, and a notice. mask_scale: of models that blend by a
        mask, the share of the sides at which the mask is computed, up to 1. max_seconds,
        max_memory (MB): what an unlisted model may take when it is tried out in a process of its
        own. text: for models that are told one. tile: side
        of the tiles in which ONNX Runtime gets longer images, 0 for whole ones. Raises UserError.
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
            fuser = Fuser(
                name,
                'luma',
                maskless(kernel.fuse),
                'compiled',
                metadata(content),
                half_notice(name, 'the CPU', fp16),
                returns_colour=True,
            )
        else:
            try_unlisted(content, path, manifest, _TRIED, max_seconds, max_memory)
            model = load_onnx(content, path, providers, threads, fp16, mask_scale, text, tile)
            fuser = Fuser(name, **vars(model))
        fuser.origin = Origin.of(path, content)
        return fuser

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
    if name_or_path in manifest.segmenters:
        raise UserError(
            f'{name_or_path} is a segmenter, not a fuser: it goes into evaluate --segmenter'
        )
    path = Path(name_or_path)
    if path.suffix.lower() == '.onnx':
        return path.stem, path
    if not path.is_dir():
        raise _unknown(name_or_path, [*CLASSICAL, *manifest.models])
    if not (path / 'model.onnx').exists():
        raise UserError(
            f'the folder {path} holds no model.onnx; if it is a run of "train", make one: '
            f'python -m multimodal_fusion export {path} -o {path / "model.onnx"}'
        )
    return path.resolve().name, path / 'model.onnx'


def _unknown(name: str, known: list[str]) -> UserError:
    near = difflib.get_close_matches(name, known, 1)
    hint = f' Did you mean {near[0]!r}?' if near else ''
    return UserError(
        f'there is no model {quoted(name)}; known are {", ".join(known)}, '
        f'or give an .onnx file or the folder of a training run.{hint}'
    )
