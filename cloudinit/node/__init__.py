"""The programs that run on a node. Its user data carry them without comments and docstrings."""
