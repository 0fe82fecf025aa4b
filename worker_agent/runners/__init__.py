"""Runners: what a command's name means.

`base` says what a runner is; `exec`, `python`, `echo` and `sleep` are ours; `translation` makes runners of functions
that say how a program is started, as `files`, `blender` and `frames_to_video` do; `registry` finds them all, and those
that other packages bring by entry point.
"""
