"""The scorecard: what the engine loses, repeats or delays under each fault of a stated table.

``python -m tests.scorecard`` (``make scorecard``) runs it; ``docs/reliability.md`` tells how to
read it. Real worker processes, a real Valkey, a real SQLite file or PostgreSQL server.
"""
