"""Says what of an account, or of one cluster, needs attention: the gravest first, each with its cause and one call."""
