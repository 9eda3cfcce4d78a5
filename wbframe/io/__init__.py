"""The touching half: sockets, files, clocks and threads.

It carries out what `core` has decided, and decides nothing of its own about data. `forks` and `scopes` carry
`threads`, which all use; `client` is used by `read`, and `read` by `doctor`.
"""
