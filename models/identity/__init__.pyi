from .marks import Mark as Mark
from .marks import digest as digest
from .marks import identify as identify
from .marks import source_mark as source_mark
from .vouching import check_vouched as check_vouched
