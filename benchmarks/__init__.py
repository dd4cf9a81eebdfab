"""Public, repeatable measurements: ``make bench``."""
