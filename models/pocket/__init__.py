"""The pocket reasoner: a language model, a process reward model and their problems, to ship."""

from pathlib import Path

from .problems import Problem, problems

LM_FOLDER = Path(__file__).parent / "lm"
PRM_FOLDER = Path(__file__).parent / "prm"

__all__ = ["LM_FOLDER", "PRM_FOLDER", "Problem", "problems"]
