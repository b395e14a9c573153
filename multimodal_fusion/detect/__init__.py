"""What surrounds a detector's network: image to input, output to boxes, boxes to pictures."""
