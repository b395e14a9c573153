"""What a fused image is for: tasks whose loss judges it. One a file, by name in `registry`."""
