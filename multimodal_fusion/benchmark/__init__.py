"""What it costs: fusers beside the physical floor of the machine, and the node over DDS."""
