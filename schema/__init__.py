"""Schema says what there is: machines, interlocks, holdings, records, requests, commands, tables, guards, migrations.

All of it is data and checks of data. Imports nothing of ours; everybody imports it.
"""
