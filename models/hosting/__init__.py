"""What hosts of models share: caches of keys and values, the decode loop, memory, and texts of tokens."""
