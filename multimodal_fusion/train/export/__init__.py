"""Checkpoints to model files with cards."""
