"""Asks a server how it answers, in few requests, for a report that can be shown to others.

`core.doctor` says what to ask and what an answer means; nothing here is needed to read.
"""
