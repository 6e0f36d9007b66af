from .exporting import exported_rows as exported_rows
from .known import DATA_SETS as DATA_SETS
from .known import DataSet as DataSet
from .problem_sources import load_problems as load_problems
