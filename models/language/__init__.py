"""Language models: hosted with torch and transformers, or given by a table of probabilities."""
