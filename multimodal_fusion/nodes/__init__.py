"""ROS 2 nodes: the only place that imports rclpy. One node a file, thin over the package's core."""
