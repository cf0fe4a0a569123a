"""Edits: pure functions on modulations and feature maps."""
