"""What a server is asked to learn how it answers, what its answers mean, and the report that says so.

Nothing private leaves this room: names, keys, values and hosts become hashes, and so do words that servers do not
usually say.
"""
