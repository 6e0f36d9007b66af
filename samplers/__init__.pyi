from .particle_filter import AllParticlesDead as AllParticlesDead
from .particle_filter import ParticleFilter as ParticleFilter
from .registry import SAMPLERS as SAMPLERS
from .registry import Sampler as Sampler
from .registry import make_sampler as make_sampler
from .solving import solve as solve
