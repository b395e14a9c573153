"""Counts to what the fuser sees: one object for the node, files, bags, evaluation and training."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..registration.warp import Registration
from .settings import Settings
from .stages import no_laps
from .thermal import Limits, ThermalRange, ThermalSettings, repaired, to_white_hot


@dataclass(frozen=True)
class Preparation:
    """The thermal stage and registration, by their settings."""

    thermal: ThermalSettings = field(default_factory=ThermalSettings)
    registration: Registration = field(default_factory=Registration)

    @classmethod
    def of(cls, settings: Settings, before: 'Preparation | None' = None) -> 'Preparation':
        """before: one whose knowledge of the cameras stays. Raises UserError where settings do not
        fit each other."""
        known = before.registration.known if before else None
        return cls(settings.thermal, Registration.of(settings.registration, known))

    def white_hot(
        self,
        counts: np.ndarray,
        limits: Limits,
        shape: tuple[int, int],
        lap: Callable[[str], None] = no_laps,
    ) -> np.ndarray:
        """uint8 (H, W), white-hot, on the visible image's grid.

        counts: uint8 or uint16 (h, w). limits: what maps to black and white, as `ThermalRange`
        says; None for as it is. shape: (H, W) of the visible image.
        """
        grey = to_white_hot(counts, limits, self.thermal.polarity, self.thermal.clahe)
        lap('thermal')
        registered = self.registration.apply(grey, shape)
        lap('register')
        return registered

    def still(self, counts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """As `white_hot`, of an image that has no past."""
        counts = repaired(counts, self.thermal)
        return self.white_hot(counts, ThermalRange(self.thermal).update(counts, 0), shape)
