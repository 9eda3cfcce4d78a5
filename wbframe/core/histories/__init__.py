"""The histories frame: what is read of each run, as which tasks, and how their answers become rows.

Sampled rows, whole histories and buckets share entries (what the server knows of a run) and tasks (what one
request asks). Nothing here sends or waits.
"""
