"""Dramatiq: the broker, the middleware and the thin actors."""
