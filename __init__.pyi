from . import diagnostics as diagnostics
from . import evaluation as evaluation
from . import models as models
from . import ppl as ppl
from . import samplers as samplers
from . import serving as serving
from . import smc as smc
from .diagnostics.summary import summary as summary
from .evaluation import evaluate as evaluate
from .models import load_lm as load_lm
from .models import load_prm as load_prm
from .models import prompts as prompts
from .samplers import solve as solve
from .samplers import solve_many as solve_many

__version__: str
