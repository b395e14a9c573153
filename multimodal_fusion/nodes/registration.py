"""Registration as the node shows and keeps it.

Publishes  fused/valid_mask      mono8, 255 where thermal is seen, on demand
Service    ~/save_registration   std_srvs/Trigger: what is in force, nudge included, goes into
                                 registration.file
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ..errors import UserError
from ..io import messages
from ..registration.camera import Size
from ..registration.stored import Stored
from ..registration.warp import Registration
from .distro import image_message

try:
    from std_srvs.srv import Trigger
except ImportError:  # a wheel of its own outside of a ROS installation
    Trigger = None


class RegistrationPorts:
    """in_force: what registers now."""

    def __init__(self, node: Node, outputs: QoSProfile, in_force: Callable[[], Registration]):
        self._node, self._in_force = node, in_force
        self._sizes: tuple[Size, Size] | None = None  # thermal, visible
        self._mask = node.create_publisher(Image, 'fused/valid_mask', outputs)
        if Trigger is not None:
            node.create_service(Trigger, '~/save_registration', self._save)

    def listened(self) -> bool:
        return self._mask.get_subscription_count() > 0

    def fused(self, header: Header, thermal: np.ndarray, fused: np.ndarray) -> None:
        """A pair went out. thermal: as its camera gave it. fused: the image."""
        sizes = (thermal.shape[0], thermal.shape[1]), (fused.shape[0], fused.shape[1])
        self._sizes = sizes
        if self.listened():
            weights = self._in_force().weights(*sizes)
            shown = np.ones(sizes[1]) if weights is None else weights
            mask = (shown * 255).astype(np.uint8)
            self._mask.publish(messages.fill(image_message(header), mask))

    def _save(self, request, response):
        try:
            response.message = self._saved()
            response.success = True
        except UserError as error:
            response.message, response.success = str(error), False
        return response

    def _saved(self) -> str:
        """What was done, a sentence. Raises UserError."""
        registration = self._in_force()
        path = registration.settings.file
        if not path:
            raise UserError('registration.file is empty: set it to the file that is to be written')
        if self._sizes is None:
            raise UserError(
                'no pair was fused yet, so the image sizes are not known: start both cameras, '
                'subscribe to fused/image_raw and call again'
            )
        matrix = registration.matrix(*self._sizes)
        if matrix is None:
            raise UserError(
                'nothing is in force that could be saved: registration.mode is none and there is '
                'no nudge'
            )
        about: dict[str, Any] = {'made_by': 'fusion_node ~/save_registration'}
        if registration.settings.mode == 'calibrated':
            about['distance'] = round(registration.distance(), 3)
        pose = registration.stored.pose if registration.stored else None
        Stored(matrix, *self._sizes, about, pose).write(path)
        # The file holds mode and nudge: from now on it is in force, and the picture stays.
        values: dict[str, Any] = {
            'mode': 'homography',
            'undistort': registration.settings.straightens,
            **{'dx': 0.0, 'dy': 0.0, 'scale': 1.0, 'rotation': 0.0},
        }
        given = [Parameter(f'registration.{name}', value=v) for name, v in values.items()]
        result = self._node.set_parameters_atomically(given)
        where = f'written to {Path(path).absolute()}'
        if not result.successful:
            return f'{where}, but not put in force: {result.reason}'
        return f'{where}, and in force: registration.mode is homography, the nudge is back to none'
