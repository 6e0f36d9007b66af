from .beta_coverage import CoverageLaw as CoverageLaw
from .beta_coverage import Estimate as Estimate
from .beta_coverage import coverage_law_of_arm as coverage_law_of_arm
from .beta_coverage import fit_coverage_law as fit_coverage_law
from .beta_coverage import plot_coverage_law as plot_coverage_law
