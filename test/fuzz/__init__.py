"""Readers against damaged and hostile bytes: whatever comes, a value or UserError."""
