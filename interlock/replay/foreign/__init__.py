"""Logs that other systems wrote, read as if they were journals: Apache CloudStack's management server.

`machines` has CloudStack's own transition tables, `formats` what its log lines look like (one table, data), `lookup`
which of them a message is of, `layout` what stands before it, `renderings` how it prints VMs and hosts. `reading` makes
facts of files and counts every line, `identity` says whose fact it is, `checking` holds facts against the tables,
`overview` sums up, and `rows` makes journal rows of them for the tools that show ours.

Promises: every line is counted as understood, not understood, or the continuation of the one before; memory does not
grow with the log. Nothing here knows a database.
"""
