"""Runners: what a command's name means. Ours are `exec`, `python`, `echo` and `sleep`; others come by entry point.

`base` says what a runner is; `registry` finds them.
"""
