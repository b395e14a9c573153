"""Images, videos, bags, data sets and boxes: in and out. No ROS, no torch."""
