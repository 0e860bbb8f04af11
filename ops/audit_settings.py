"""The settings of the log: where it lies, what signs it, and where its checkpoints are put."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field
from pydantic import model_validator

from ops.setting_values import Channel
from ops.setting_values import Duration
from ops.setting_values import HealthUrl
from ops.setting_values import PeopleEntry
from ops.setting_values import RepositoryUrl
from ops.setting_values import SecretReference
from ops.setting_values import Table


class AnchorPlace(Table):
    """A place that the log's owner cannot rewrite: a file, a URL that is posted to, a git repository, or a Slack channel."""

    file: Path | None = None
    url: HealthUrl | None = None
    headers: Mapping[str, SecretReference] = Field(default_factory=dict)
    git: RepositoryUrl | None = None
    slack: Channel | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(one is not None for one in (self.file, self.url, self.git, self.slack)) != 1:
            msg = "an anchor is one place: file, url, git or slack"
            raise ValueError(msg)
        if self.headers and self.url is None:
            msg = "headers go with url"
            raise ValueError(msg)
        return self


class Audit(Table):
    """`[audit]`. Without a `key` nothing is signed; the chain of hashes is there all the same."""

    path: Path = Path("var/audit.db")
    key: Path | None = None
    checkpoint_every: Duration = timedelta(hours=1)
    anchors: tuple[AnchorPlace, ...] = ()
    auditors: tuple[PeopleEntry, ...] = ()
    readers: Mapping[str, SecretReference] = Field(default_factory=dict)
    segments: Path = Path("var/audit.segments")
    keep_months: int | None = Field(default=None, ge=1, le=1200)
    erase_needs_two: bool = False

    @model_validator(mode="after")
    def _anchors_are_signed(self) -> Self:
        if self.anchors and self.key is None:
            msg = 'anchors hold signed checkpoints: name the key, key = "var/audit.key" (`countersign audit key` makes it)'
            raise ValueError(msg)
        return self
