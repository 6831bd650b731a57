"""How good a judge is: simulated MCP traffic drives davylamp's own policy and its rivals, run by run on the same streams.

`python -m bench.judge --minutes 5`. Policies are the shipped code behind their port, never a re-implementation; what
a team would write itself (a peeked z-test, a tuned threshold) is in `rivals.py`.
"""
