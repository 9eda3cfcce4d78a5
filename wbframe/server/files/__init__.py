"""The files that the local server exports, and the storage that gives them out by signed links."""
