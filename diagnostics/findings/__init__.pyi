from .checking import check as check
from .checking import check_runs as check_runs
from .finding import Finding as Finding
