"""The parts of `tests/peers/run`: material, stacks, work, browser, relay, report.

Python 3 and its standard library only. Nothing here knows what a stack's program is
written in: a stack is a command line.
"""
