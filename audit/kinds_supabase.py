"""What is done to and seen of the parts of a Supabase project: the data of those events. Names and hashes, never a value."""

from typing import Any
from typing import Literal

from pydantic import Field

from audit.data import Data


class HealthChanged(Data):
    """What is checked on a target now and then holds, or fails, otherwise than was told last.

    `changes`: `name`, `was` and `now` (holds, fails, unknown, gone), `detail`, and `flaps` where it changes so often that it
    is told again only once it has been the same for a while. `standing`: everything told that does not hold, by name.
    `checks`: all checks of that look.
    """

    changes: list[dict[str, Any]]
    standing: dict[str, str]
    checks: list[dict[str, Any]]


class AdvisorsNoted(Data):
    """What Supabase's advisors find on a target: the `keys` of all findings, and of those that are `new` since the event
    before, `name`, `title`, `level` and `detail`. `is_first`: nothing was noted before, so that nothing is new."""

    keys: list[str]
    new: list[dict[str, str]] = Field(default_factory=list)
    counts: dict[str, int] = Field(default_factory=dict)
    is_first: bool = False


class FunctionKept(Data):
    """What a function runs is kept on the runner's machine before another one takes its place; `sha256` names that file."""

    slug: str
    version: int
    ezbr_sha256: str | None
    sha256: str
    files: int


class FunctionDeploySent(Data):
    """The intent: these functions go to the project now. `how`: deploy (built and started), bundle (built only), start
    (several that were built), delete. `sha256`: what each will be, by name."""

    how: Literal["deploy", "bundle", "start", "delete"]
    slugs: list[str]
    sha256: dict[str, str]


class FunctionDeployFailed(Data):
    """What was sent did not take the place of what ran (`not_there`), or whether it did is not known (`unknown`)."""

    slug: str
    outcome: Literal["not_there", "unknown"]
    message: str


class FunctionDeployed(Data):
    """A function runs as it was to (`change` created or changed), or is gone (removed), as the project says. `found`: found
    to be so after a crash or a lost answer. `kept`: names what it ran before, empty for nothing."""

    slug: str
    change: str
    sha256: str
    version: int | None
    ezbr_sha256: str | None
    kept: str
    found: bool = False


class ValueAsked(Data):
    """A page on which the value of a secret can be entered was given to the person who acted, once, until then."""

    secret: str
    until: str


class ValueGiven(Data):
    """Somebody entered the value of a secret, which is in this process's memory for the run that follows, and nowhere else.

    `way`: terminal, or page.
    """

    secret: str
    way: str


class SecretSent(Data):
    """A secret is about to be set, or taken away. `was` and `updated_at` are how the API showed it just before: the
    beginning of its digest, and when it was set; both empty where it was not there."""

    secret: str
    was: str = ""
    updated_at: str = ""


class SecretDone(Data):
    """A secret was set, or taken away. `now` and `updated_at` are how the API shows it since; `seen_by` is what shows that it
    was done: digest, moment, gone, or answer, where the API's own word is all there is."""

    secret: str
    now: str = ""
    updated_at: str = ""
    seen_by: str


class RestorePointSent(Data):
    """Supabase is about to be asked for a restore point of this name, before the run's first statement."""

    point: str


class RestorePointMade(Data):
    """The restore point can be gone back to; `completed_on` is Supabase's word for when it was made."""

    point: str
    completed_on: str = ""


class ManagedRestore(Data):
    """Supabase is about to put the whole database back (sent), has begun to (begun), or is done (restored).

    `way`: pitr, backup or point; `to` is the moment (ISO 8601), the backup's number, or the point's name.
    """

    way: Literal["pitr", "backup", "point"]
    to: str
