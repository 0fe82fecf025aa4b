"""The waist: whatever changes the farm comes through here, in batches, and only here `decide()` is called.

`inbox` gathers, `writer` takes all that is there into one transaction, `ledger` is what that transaction knows and
changes; `workers`, `tasks`, `jobs` and `assignment` apply events to a ledger, in memory. `ports` says what is needed
of the outside.
"""
