"""The posterior made by hand, for the tests of this folder."""

from handmade import make_posterior as make_posterior
