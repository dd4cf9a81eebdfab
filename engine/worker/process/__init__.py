"""``isolation: process``: one attempt in a process of its own."""
