"""What the node relies on in rclpy's messages."""

from array import array

import numpy as np
from std_msgs.msg import Header

from multimodal_fusion.io import messages
from multimodal_fusion.nodes.distro import image_message


def test_a_message_takes_a_shared_buffer_over_and_copies_nothing():
    buffer, header = array('B', bytes(range(60))), Header(frame_id='camera')
    pixels = np.frombuffer(buffer, np.uint8).reshape(4, 5, 3)
    message = messages.fill(image_message(header), pixels, share=True)
    assert message.data is buffer
    assert message.header is header
    assert (message.height, message.width, message.step) == (4, 5, 15)
