"""Language models that run elsewhere: in an inference engine, or behind a server."""
