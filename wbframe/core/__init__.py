"""The deciding half: from a call to a plan, from bytes to columns.

Values in, values out. Nothing here opens a socket or a file, looks at a clock, or starts a thread; every module
can be tested on values alone. Rooms, each may use those before it: `decode`, `protocol`, `schema`, `pushdown` and
`histories`, `runs`, `doctor`; `filters`, `model`, `paths`, `batches` and `hints` beside them are used by all.
"""
