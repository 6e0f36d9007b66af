from .graph_of_thoughts import ThoughtPrompts as ThoughtPrompts
from .graph_of_thoughts import graph_of_thoughts as graph_of_thoughts
from .iterative_decoding import iterative_decoding as iterative_decoding
from .parallel_refinement import parallel_refinement as parallel_refinement
from .whole_solution import Scored as Scored
