"""Reward models: hosted with torch and transformers, and how each family is read."""
