"""The runs frame: which runs are listed, in which pages, and how these become columns.

Pages come from outside; what is done with them, and when types must be decided anew, is decided here.
"""
