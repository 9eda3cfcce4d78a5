"""What a server is asked to learn how it answers, what its answers mean, and the report that says so.

Nothing private leaves this room: names, keys, values and hosts are hashes, texts of errors keep known words alone.
"""
