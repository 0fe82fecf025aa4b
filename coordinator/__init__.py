"""The coordinator of a Farmhand farm, and the command line `farmhand`."""
