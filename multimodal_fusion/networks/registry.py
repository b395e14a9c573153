"""The networks that configurations know by name."""

from collections.abc import Callable

from torch import nn

from .dense import DenseFusion
from .ifcnn import IFCNN
from .mmdrfuse import MMDRFuse, MMDRFuseTeacher
from .mobilefuse import MobileFuse
from .pyramid import MMDRFusePyramid

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    'mmdrfuse': lambda: MMDRFuse('tanh').start_at_maximum(0.05),
    'mmdrfuse_plus': lambda: MMDRFuse('linear').start_at_maximum(0.05),
    'mmdrfuse_pyramid': lambda: MMDRFusePyramid().start_at_shares(0.03),
    'mmdrfuse-teacher': lambda: MMDRFuseTeacher().start_at_maximum(0.05),
    'mobilefuse': MobileFuse,
    'mobilefuse-paint': lambda: MobileFuse('paint'),
    'ifcnn': IFCNN,
    'dense': DenseFusion,
}
"""{name: a fresh one, drawn from torch's global generator}."""
