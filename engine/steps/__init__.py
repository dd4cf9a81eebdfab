"""Step types: one file each, found by name."""
