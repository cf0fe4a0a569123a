"""Readers of foreign checkpoint formats, one per format: file -> our state dict and config."""
