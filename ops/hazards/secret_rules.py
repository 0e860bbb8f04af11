"""The rules of hazards about the environment that functions run in: no file shows them, the project's own list does."""

from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule

SECRET_MISSING = Rule(
    "secret-missing",
    HazardClass.COMPATIBILITY,
    Level.CAUTION,
    caught="",
    left_alone="",
    safe_way="Set it first: `secrets prod set STRIPE_KEY`.",
)
SECRET_SHARED = Rule(
    "secret-shared",
    HazardClass.SECRETS,
    Level.CAUTION,
    caught="",
    left_alone="",
    safe_way="Give each environment a key of its own, so that what runs on one cannot act on the other.",
)
SECRET_RULES = (SECRET_MISSING, SECRET_SHARED)
