"""The network gurus: each knows one kind of network, and gives its NICs their addresses.

`direct` serves shared networks, `isolated` those of one account; `addresses` is what they have in common.
All is IPv4; a guru is chosen by `Network.guru`, by its name in the entry-point group `interlock.gurus`.
"""
