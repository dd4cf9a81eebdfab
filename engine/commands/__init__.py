"""What the engine is told to do: each command loads, has the core decide, and commits."""
