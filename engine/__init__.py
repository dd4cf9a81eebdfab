"""Durable workflows on Dramatiq, with every step on screen as it happens."""
