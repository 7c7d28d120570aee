"""Says why workloads do not work: `reading.py` reads, `rules*.py` conclude, `order.py` sorts, `answer.py` answers.

The rules are pure functions over the JSON of the API, events and logs, by what controllers and kubelets set when.
"""
