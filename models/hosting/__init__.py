"""What hosts of models share.

Caches of keys and values, the decode loop, memory, and texts of tokens.
"""
