"""What fusion costs: the fusers, the node over DDS, and the link to the robot."""
