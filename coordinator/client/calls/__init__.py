"""Every call of the API once: what is sent, and how the answer is read. The two clients share these tables.

Ids are checked by the coordinator. `limit` is the size of a page, `before` and `after` its cursor.
"""
