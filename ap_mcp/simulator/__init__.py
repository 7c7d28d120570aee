"""A stateful stand-in for CCE Autopilot and IAM that verifies, remembers and takes time."""
