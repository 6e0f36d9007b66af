"""Procedures that sample no declared target.

Votes, search, and published methods to compare with.
"""
