"""Says whether a cluster can be upgraded now, what is in the way, and which calls to make."""
