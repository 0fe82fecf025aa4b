"""Private RabbitMQ and Postgres on this machine: for the demo, for `farmhand up`, and for the tests.

Promises: a server that we did not start is never touched. What we start listens on loopback only, asks for a
password, keeps to one directory, and ends with the process that started it, whatever ends that process. Nothing is
installed into the system: what is missing is unpacked into a cache directory (`packages`).

`services.Services` is the door; everything else here serves it.
"""
