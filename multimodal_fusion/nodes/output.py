"""The fused image on its topics: raw, compressed, and the mask of a model that blends.

Publishes  fused/image_raw
           fused/image_raw/compressed  JPEG or PNG, by output.compressed, for links that are narrow
           fused/blend_mask            mono8, 255 where all is thermal
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ..fusers.fuser import Fuser
from ..io import messages
from ..pipeline.frames import OutputSettings
from ..pipeline.stages import Laps
from .diagnostics import QosWatch
from .distro import image_message


class CompressedPort:
    """The compressed transport of an image topic: a remapped topic takes it along."""

    def __init__(self, node: Node, topic: str, profile: QoSProfile):
        name = f'{node.resolve_topic_name(topic)}/compressed'
        self._port = node.create_publisher(CompressedImage, name, profile)

    def listened(self) -> bool:
        return self._port.get_subscription_count() > 0

    def publish(self, image: np.ndarray, header: Header, settings: OutputSettings) -> None:
        """If anybody listens. image: uint8 (H, W, 3) BGR or (H, W)."""
        if not self.listened():
            return
        kind, quality = settings.compressed, settings.jpeg_quality
        options = [cv2.IMWRITE_JPEG_QUALITY, quality] if kind == 'jpeg' else []
        data = array('B')
        data.frombytes(cv2.imencode(f'.{kind}', image, options)[1].tobytes())
        encoding = messages.encoding_of(image)
        self._port.publish(  # the format as compressed_image_transport writes it
            CompressedImage(
                header=header, format=f'{encoding}; {kind} compressed {encoding}', data=data
            )
        )


class FusedOutput:
    """tell(key, sentence, every): logs, at most so often."""

    def __init__(self, node: Node, profile: QoSProfile, watch: QosWatch, tell: Callable[..., None]):
        topic = 'fused/image_raw'
        self._tell = tell
        self._raw = node.create_publisher(
            Image, topic, profile, event_callbacks=watch.publisher(topic)
        )
        self._compressed = CompressedPort(node, topic, profile)
        self._mask = node.create_publisher(Image, 'fused/blend_mask', profile)
        self._message = image_message(Header())  # used again: publishing is over when it returns

    def subscribers(self) -> int:
        """Of the raw image."""
        return self._raw.get_subscription_count()

    def listened(self, fuser: Fuser) -> bool:
        return self.subscribers() > 0 or self._compressed.listened() or self._mask_wanted(fuser)

    def _mask_wanted(self, fuser: Fuser) -> bool:
        if self._mask.get_subscription_count() == 0:
            return False
        if not fuser.blends:
            self._tell(
                'mask',
                f'fused/blend_mask has a subscriber, but {fuser.name} blends by no mask: choose '
                'model.name mobilefuse',
                every=60.0,
            )
        return fuser.blends

    def publish(
        self, fused: np.ndarray, header: Header, settings: OutputSettings, lap: Laps
    ) -> None:
        if self.subscribers() > 0:
            self._message.header = header
            messages.fill(self._message, fused, share=True)
            lap('encode')
            self._raw.publish(self._message)
        self._compressed.publish(fused, header, settings)
        lap('publish')

    def publish_mask(self, mask: np.ndarray | None, header: Header) -> None:
        if mask is not None and self._mask.get_subscription_count() > 0:
            self._mask.publish(messages.fill(image_message(header), mask))
