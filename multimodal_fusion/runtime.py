"""ONNX Runtime sessions: providers, threads, and what to say when it is not as asked for."""

from collections.abc import Sequence
from pathlib import Path

from .errors import UserError

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


def open_session(content: bytes, path: Path, providers: Sequence[str], threads: int):
    """An InferenceSession for checked model bytes; path is for messages. Raises UserError.

    providers: of ``cpu``, ``cuda``, ``tensorrt``, in order of preference; the CPU is always last.
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
    wanted = [PROVIDERS[provider] for provider in (*providers, 'cpu')]
    present = [provider for provider in wanted if provider in ort.get_available_providers()]
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads would spin on cores that the robot needs for other work.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    try:
        return ort.InferenceSession(content, options, providers=list(dict.fromkeys(present)))
    except Exception as error:  # the runtime's own exception types share no base class
        raise UserError(f'{path} was refused by onnxruntime: {error}') from error


def fallback_notice(session, path: Path, providers: Sequence[str]) -> str:
    """A sentence if the session does not run where it was first asked to, else empty."""
    wanted, got = PROVIDERS[providers[0]], session.get_providers()[0]
    if got == wanted:
        return ''
    offered = ', '.join(onnxruntime_or_none().get_available_providers())
    return (
        f'{wanted} was asked for, but {path.name} runs on {got} (this onnxruntime offers '
        f'{offered}); "multimodal_fusion doctor" says what is missing'
    )
