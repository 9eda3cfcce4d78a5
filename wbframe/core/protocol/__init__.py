"""GraphQL documents as values, and their answers.

Each question stands beside the reading of its answer, and neither is sent here. What an answer means for a frame
is decided elsewhere.
"""
