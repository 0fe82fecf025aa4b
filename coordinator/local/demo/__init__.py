"""A farm at work in a minute: an animation rendered by three agents, one of which is killed on the way.

`frame` and `join` are the programs that the tasks run, and import none of our packages: a farm's tasks are
ordinary programs. `job` describes the work, `story` runs it and breaks things, `view` shows it, `summary` checks
that every task was accepted exactly once.
"""
