"""Serves a team over HTTP: the frame round the protocol, who may call, how people approve, what can be watched."""
