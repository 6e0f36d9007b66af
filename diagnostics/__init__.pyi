from . import findings as findings
from . import plots as plots
from . import report as report
from .findings import Finding as Finding
from .findings import check as check
from .summary import summary as summary
