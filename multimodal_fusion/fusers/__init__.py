"""Visible and thermal image to fused image."""
