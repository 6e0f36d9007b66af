"""Populations of trajectories that move forward together: sequential Monte Carlo."""
