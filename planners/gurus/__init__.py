"""The network gurus: each knows one kind of network, and gives its NICs their addresses.

`direct` serves shared networks, `isolated` those of one account, `pod` those whose IPv4 addresses belong to pods;
`addresses` is what they have in common, made of `ipv4`, `ipv6` and `mac`. A guru is chosen by `Network.guru`, by its
name in the entry-point group `interlock.gurus`.
"""
