"""The store: the only room that speaks SQL.

`store.py` is its face; `writer.py` is the group commit, `batch.py` what one transaction writes, `sqlite.py` and
`postgresql.py` the two databases, `queries.py` the reads, `migrate.py` how a database is made and kept current.
"""
