"""ONNX Runtime sessions: providers, threads, and what to say when it is not as asked for."""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError, told

PROVIDERS = {
    'cpu': 'CPUExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'tensorrt': 'TensorrtExecutionProvider',
}


def onnxruntime_or_none():
    """The onnxruntime module, or None where it is not installed or broken."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime


def open_session(
    content: bytes, path: Path, providers: Sequence[str], threads: int, fp16: bool = False
):
    """An InferenceSession for checked model bytes; path is for messages. Raises UserError.

    providers: of ``cpu``, ``cuda``, ``tensorrt``, in order of preference; the CPU is always last.
    fp16: half precision, on TensorRT alone.
    """
    ort = onnxruntime_or_none()
    if ort is None:
        raise UserError(
            f'the model {path.stem} needs onnxruntime, which is not installed: '
            'pip install onnxruntime (or onnxruntime-gpu); the classical fusers work without it'
        )
    unknown = [provider for provider in providers if provider not in PROVIDERS]
    if unknown or not providers:
        raise UserError(
            f'the providers for {path.name} are {list(providers)}; name at least one of '
            f'{", ".join(PROVIDERS)}'
        )
    # What TensorRT cannot take, CUDA takes before the CPU does.
    order = [*providers, 'cuda', 'cpu'] if 'tensorrt' in providers else [*providers, 'cpu']
    wanted = [PROVIDERS[provider] for provider in dict.fromkeys(order)]
    present = [
        (provider, provider_options(provider, fp16))
        for provider in wanted
        if provider in ort.get_available_providers()
    ]
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads would spin on cores that the robot needs for other work.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    # What was checked is what is read: ONNX, and no other file. Should the check miss one, it would
    # be looked for in the working folder; below this path there can be none, not even by "..".
    options.add_session_config_entry('session.load_model_format', 'ONNX')
    options.add_session_config_entry(
        'session.model_external_initializers_file_folder_path', os.devnull
    )
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where it tells that a provider fails
            return ort.InferenceSession(content, options, providers=present)
    except Exception as error:  # the runtime's own exception types share no base class
        raise UserError(f'{path} was refused by onnxruntime: {told(error)}') from error


def engine_folder() -> Path:
    """Where TensorRT keeps the engines it has built: minutes of work for each model and GPU."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'multimodal_fusion' / 'tensorrt'


def provider_options(provider: str, fp16: bool = False) -> dict[str, str]:
    """What ONNX Runtime is told for an execution provider, by its full name."""
    if provider != PROVIDERS['tensorrt']:
        return {}
    folder = engine_folder()
    options = {'trt_fp16_enable': str(fp16)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home: engines are built anew at every start
        return options
    # Kept engines are told apart by model, GPU and precision.
    kept = {'trt_engine_cache_enable': 'True', 'trt_engine_cache_path': str(folder)}
    return {**options, **kept, 'trt_timing_cache_enable': 'True'}


@functools.cache
def _options():
    """Of every run of this process."""
    return onnxruntime_or_none().RunOptions()


def run(session, outputs: Sequence[str] | None, feed: Mapping[str, np.ndarray]) -> list:
    """As the session's own, but `end_runs` ends it."""
    return session.run(outputs, feed, _options())


def end_runs() -> None:
    """Runs that are under way, and all that are asked for later, raise: for a process that ends.

    One that ended beside a running model would be killed by the runtime.
    """
    if onnxruntime_or_none() is not None:
        _options().terminate = True


class Runner:
    """Runs a session with uint8 outputs. On a GPU, buffers there are made once for each size.

    Any thread may call it; on a GPU one at a time gets in.
    """

    def __init__(self, session, device: str | None = None):
        """device: ``cpu`` or ``cuda``, where bound buffers lie; by default that of the session's
        first provider, and on the CPU none are needed."""
        self._session = session
        if device is None and session.get_providers()[0] != PROVIDERS['cpu']:
            device = 'cuda'
        self._device, self._lock = device, threading.Lock()
        self._shapes: dict | None = None

    def run(
        self, feed: Mapping[str, np.ndarray], outputs: Mapping[str, tuple[int, ...]]
    ) -> list[np.ndarray]:
        """The outputs, named with their shapes, as fresh arrays."""
        if self._device is None:
            return run(self._session, list(outputs), dict(feed))
        with self._lock:
            shapes = {name: array.shape for name, array in feed.items()}
            if shapes != self._shapes:
                self._bind(feed, outputs)
                self._shapes = shapes
            for name, array in feed.items():
                self._inputs[name].update_inplace(np.ascontiguousarray(array))
            self._session.run_with_iobinding(self._binding, _options())
            # On the CPU numpy() would be a view of the buffer that the next run overwrites.
            return [np.array(value.numpy()) for value in self._outputs]

    def _bind(self, feed: Mapping[str, np.ndarray], outputs: Mapping[str, tuple[int, ...]]) -> None:
        value = onnxruntime_or_none().OrtValue
        self._shapes, self._binding = None, self._session.io_binding()
        self._inputs = {
            name: value.ortvalue_from_shape_and_type(array.shape, array.dtype, self._device, 0)
            for name, array in feed.items()
        }
        self._outputs = [
            value.ortvalue_from_shape_and_type(shape, np.uint8, self._device, 0)
            for shape in outputs.values()
        ]
        for name, bound in self._inputs.items():
            self._binding.bind_ortvalue_input(name, bound)
        for name, bound in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, bound)


def fallback_notice(session, path: Path, providers: Sequence[str], fp16: bool = False) -> str:
    """A sentence if the session does not run where and as it was first asked to, else empty."""
    wanted, got = PROVIDERS[providers[0]], session.get_providers()[0]
    if got == wanted:
        return half_notice(path.stem, got, fp16)
    offered = ', '.join(onnxruntime_or_none().get_available_providers())
    return (
        f'{wanted} was asked for, but {path.name} runs on {got} (this onnxruntime offers '
        f'{offered}); "multimodal_fusion doctor" says what is missing'
    )


def half_notice(name: str, where: str, fp16: bool) -> str:
    """A sentence if half precision was asked for where it is not to be had, else empty."""
    if not fp16 or where == PROVIDERS['tensorrt']:
        return ''
    return (
        f'half precision (fp16) was asked for, but {name} runs on {where} without it; '
        'only the provider tensorrt has it'
    )
