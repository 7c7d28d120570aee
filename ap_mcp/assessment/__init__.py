"""Says whether a cluster can be upgraded now, what blocks it, and which calls to make."""
