"""Node tests need ROS 2; without it they are left out as a whole."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec('rclpy') else ['*.py']
