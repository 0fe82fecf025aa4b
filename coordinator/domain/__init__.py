"""The rules of the farm, pure: no await, no clock, no log, no framework.

Life cycles are tables (`TRANSITIONS` in `task`, `attempt`, `worker`); `decide(state, event)` is the only way to a new
state. Time and chance come in as values. Late and repeated messages are ordinary answers (`Refused`), not exceptions.
"""
