"""The dashboards and rules of `deploy/`, tried on a real Prometheus.

`running` is the server, `workload` what happens, `queries` what is asked, `checking` puts them together, and
`python -m prometheus` prints what came out.
"""
