"""What a function may be called, wherever its name becomes part of an address or of a path."""

import re

LONGEST_SLUG = 100
SLUG = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_SLUG}}}")
