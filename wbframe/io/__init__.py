"""The touching half: sockets, files, clocks and threads.

It carries out what `core` has decided, and decides nothing of its own about data. `threads` is used by all,
`client` by `read`.
"""
