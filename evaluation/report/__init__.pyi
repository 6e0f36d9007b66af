from .arm_figures import ArmFigures as ArmFigures
from .arm_figures import arm_figures as arm_figures
from .evaluation_page import evaluation_page as evaluation_page
from .evaluation_page import write_report as write_report
from .paired_differences import Difference as Difference
from .paired_differences import paired_differences as paired_differences
