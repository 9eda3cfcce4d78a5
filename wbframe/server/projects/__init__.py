"""What the local server serves: projects, their runs and rows, and which of these are exported.

Built by hand, from a folder, or made up. Nothing here knows of HTTP or GraphQL.
"""
