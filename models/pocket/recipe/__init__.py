"""The recipe that made the pocket reasoner's weights: ``python -m motes.models.pocket.recipe``."""
