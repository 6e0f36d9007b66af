from .page import page as page
from .writing import report as report
