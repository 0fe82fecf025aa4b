"""Farmhand's wire contract: everything that travels between workers, coordinators and clients.

A leaf package: pydantic and the standard library, nothing else of ours. Both sides import the same
models and the same topology, so neither can drift from the other. `schemas.catalog` gives every
message its name; JSON Schemas and the AsyncAPI document are generated from it.
"""
