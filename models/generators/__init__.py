"""Generator families, one per file."""
