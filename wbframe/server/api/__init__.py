"""How the local server answers GraphQL: its schema, its resolvers, and what they select.

Nothing here knows of HTTP; `wbframe.server.http` hands questions in and answers out.
"""
