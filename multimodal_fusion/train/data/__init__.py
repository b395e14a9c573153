"""What is trained on: pairs, patches, masks, boxes."""
