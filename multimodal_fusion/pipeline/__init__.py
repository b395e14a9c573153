"""Two streams to one, live or from a bag."""
