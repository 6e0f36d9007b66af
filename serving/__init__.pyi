from .application import application as application
from .limits import Limits as Limits
from .server import background as background
from .server import serve as serve
from .service import Service as Service
from .solve_request import Defaults as Defaults
