"""Procedures that sample no declared target: votes, search, and published methods to compare with."""
