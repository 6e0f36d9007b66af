"""Markov chains of whole trajectories."""
