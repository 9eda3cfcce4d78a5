"""One server, one key, one pool of connections.

How a request is sent, what a failure means, when it is tried again, and how fast. What is asked, and what an
answer means, is not known here.
"""
