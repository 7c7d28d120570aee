"""The Kubernetes API of each cluster as tools: how kinds are found, requests made and answers cut for an agent.

`spec.py` reads what the tools are from `tool_specs/kubernetes.json`, `tools.py` makes them; `kinds.py` and
`discovery.py` find what a caller means by a kind; `api.py` reads, each request under the operator's rules.
"""
