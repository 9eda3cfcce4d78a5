"""What columns there are: names, types and dtypes that are promised before the data.

From what a server says of its keys to the columns of a frame. No value of a run is looked at here.
"""
