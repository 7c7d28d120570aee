"""A stand-in for the Kubernetes API of every simulated cluster: `service.py` is the way in, a module per idea.

Its objects live in the world's table `kubernetes`, in a row per cluster that is made when the cluster is first asked.
"""
