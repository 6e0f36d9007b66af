from .answer_pool import Pool as Pool
from .answer_pool import pool_of as pool_of
