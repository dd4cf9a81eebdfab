"""Who is asking, and how they are let in."""
