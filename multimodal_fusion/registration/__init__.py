"""Thermal pixels to visible pixels."""
