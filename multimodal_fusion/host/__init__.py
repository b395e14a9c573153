"""This machine and installation."""
