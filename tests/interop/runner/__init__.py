"""The parts of `tests/interop/run`: a network of two namespaces and a relay, the runner's
test cases, the reading of captures, the checks, the report.

Nothing here knows what a stack's program is written in: a stack is two command lines that
keep the interop runner's contract.
"""
