"""What it costs: fusers beside the machine's floor, the node over DDS, the link to the robot."""
