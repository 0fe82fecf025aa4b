"""The agent: joins a farm over RabbitMQ, runs its tasks on this machine, and loses none of them.

It shares the wire contract (`schemas`) with the coordinator, and nothing else. `machine` decides, `agent` carries out,
`journal` remembers; docs/runners.md says how tasks run.
"""
