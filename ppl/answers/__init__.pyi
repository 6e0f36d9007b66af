from .claims import last_answer as last_answer
from .grouping import group as group
from .rules import Answer as Answer
from .rules import read as read
from .rules import settled as settled
from .rules import stated as stated
from .spelling import spelled as spelled
