"""Thermal and RGB video fusion for robots: pair, fuse, publish, evaluate, train."""

__version__ = '0.1.0'
