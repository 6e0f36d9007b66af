from .program import Program as Program
from .program import Return as Return
from .sites import condition as condition
from .sites import judgement as judgement
from .sites import start as start
from .sites import step as step
from .subinference import infer as infer
