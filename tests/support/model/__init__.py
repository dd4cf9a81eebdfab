"""The engine once more, in memory and in the plainest way: what the real one is compared with."""
