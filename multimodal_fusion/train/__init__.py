"""Training: ``methods`` (what is learnt), ``loop`` (runs one), ``export`` (to a model file).

This file stays free of torch, so that the command line starts without it.
"""

import importlib.util

from ..errors import UserError

EXTRA = ('torch', 'lightning_fabric', 'pydantic', 'safetensors', 'onnx', 'onnxscript', 'matplotlib')


def require_extra() -> None:
    """Raise UserError where the packages that training and export need are not installed."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f'training and export need {", ".join(missing)}, not installed here: '
            'pip install multimodal_fusion[train]'
        )
