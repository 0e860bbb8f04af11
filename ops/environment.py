"""The settings of one environment: where it is, who must agree before it changes, and how a run there behaves."""

import os
from datetime import timedelta
from typing import Any
from typing import Literal
from typing import Self

from pydantic import Field
from pydantic import model_validator

from ops.health_settings import Health
from ops.health_settings import HealthEvery
from ops.health_settings import SchemaName
from ops.health_settings import TableName
from ops.setting_values import LOGIN_SCHEME
from ops.setting_values import ApprovalRule
from ops.setting_values import ByteCount
from ops.setting_values import ConfiguredFreeze
from ops.setting_values import DatabaseUrl
from ops.setting_values import DriftCheck
from ops.setting_values import Duration
from ops.setting_values import HazardClassName
from ops.setting_values import HazardRule
from ops.setting_values import HealthUrl
from ops.setting_values import LockTimeout
from ops.setting_values import PeopleEntry
from ops.setting_values import ProjectRef
from ops.setting_values import StandbyLag
from ops.setting_values import Table
from ops.setting_values import Watch
from ops.setting_values import WindowText


class Environment(Table):
    """One environment of a project: where it is, and who must agree before it changes."""

    database_url: DatabaseUrl
    branch: str = Field(min_length=1, max_length=200)
    approvals: int = Field(strict=True, ge=0, le=20)
    project_ref: ProjectRef | None = None
    project_url: HealthUrl | None = None
    functions: Literal["on", "off"] = "on"
    prune: bool = Field(default=False, strict=True)
    smoke: Literal["options", "get", "off"] = "options"
    approvers: tuple[PeopleEntry, ...] = ()
    requesters: tuple[PeopleEntry, ...] = ()
    unknown_authors: Literal["show", "extra", "refuse"] = "show"
    after: tuple[str, ...] = ()
    backup: Literal["none", "intact", "restored", "identical"] | None = None
    rehearsal: Literal["off", "shown", "required"] | None = None
    with_data: bool = Field(default=False, strict=True)
    isolation: Literal["none", "partial", "full"] = "none"
    hazards: dict[HazardClassName, HazardRule] = Field(default_factory=dict)
    rules: tuple[ApprovalRule, ...] = ()
    second_factor: bool = Field(default=False, strict=True)
    overriders: tuple[PeopleEntry, ...] = ()
    review_within: Duration = timedelta(days=3)
    drift_check: DriftCheck | None = None
    watch: Watch | None = None
    windows: tuple[WindowText, ...] = ()
    freezes: tuple[ConfiguredFreeze, ...] = ()
    hotfix: tuple[PeopleEntry, ...] = ()
    hotfix_passes: Literal["configured", "all"] = "configured"
    restore_point: bool = Field(default=False, strict=True)
    disposable: bool = Field(default=False, strict=True)
    expires: Duration = timedelta(hours=24)
    confirm: Literal["click", "type"] = "click"
    lock_patience: Duration = timedelta(minutes=5)
    lock_timeout: LockTimeout = timedelta(seconds=2)
    statement_timeout: Duration | None = None
    standby_lag: StandbyLag = timedelta(seconds=10)
    standby_lag_bytes: ByteCount = 64 * 2**20
    prior_copy: ByteCount | None = None
    prior_copy_keep: Duration = timedelta(days=14)
    health: tuple[Health, ...] = ()
    tables: tuple[TableName, ...] = ()
    exposed_schemas: tuple[SchemaName, ...] | None = None
    health_every: HealthEvery | None = None

    @model_validator(mode="after")
    def _logins_are_of_a_project(self) -> Self:
        if self.database_url.startswith(LOGIN_SCHEME) and self.project_ref is None:
            msg = 'database_url = "supabase:" asks for temporary logins of a project, but project_ref says of none'
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _someone_can_approve(self) -> Self:
        if self.approvals and not self.approvers:
            msg = f'approvals = {self.approvals} but nobody may give them: add approvers = ["@group", "U0PERSON"]'
            raise ValueError(msg)
        people = set(self.approvers)
        if not _may_be_enough(people, self.approvals):
            msg = f"approvals = {self.approvals} but only {len(people)} may give them: name more approvers, or a @group"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _hazards_ask_for_more(self) -> Self:
        for name, rule in self.hazards.items():
            people = {*self.approvers, *rule.approvers}
            if rule.approvals and rule.approvals <= self.approvals:
                msg = (
                    f"hazards.{name}.approvals = {rule.approvals} is no more than approvals = {self.approvals}, which "
                    "everything takes: say more, or leave it out"
                )
                raise ValueError(msg)
            if not _may_be_enough(people, rule.approvals):
                msg = (
                    f"hazards.{name}.approvals = {rule.approvals} but only {len(people)} may give them: name more "
                    "approvers, or a @group"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _rules_can_be_met(self) -> Self:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.name in seen:
                msg = f'two rules are named "{rule.name}": people are told by name which one still lacks somebody'
                raise ValueError(msg)
            seen.add(rule.name)
            people = set(rule.approvers)
            if not _may_be_enough(people, rule.approvals):
                msg = (
                    f'the rule "{rule.name}" has approvals = {rule.approvals} but only {len(people)} may give them: '
                    "name more approvers, or a @group"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _codes_are_given_by_somebody(self) -> Self:
        if self.second_factor and not self.asks_people:
            msg = "second_factor = true, but nobody approves here: say who does, or leave it out"
            raise ValueError(msg)
        for name, rule in self.hazards.items():
            if rule.second_factor and not (self.asks_people or rule.approvals or rule.approvers):
                msg = (
                    f"hazards.{name}.second_factor = true, but nobody approves this class: say approvals, or approvers"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _a_restore_point_is_of_a_project(self) -> Self:
        if self.restore_point and self.project_ref is None:
            msg = "restore_point = true, but Supabase makes one for a project: say which, with project_ref"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _nobody_is_asked_about_what_is_thrown_away(self) -> Self:
        if self.disposable and self.asks_people:
            msg = "disposable = true, but people approve what happens here: leave one of the two out"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _data_is_for_a_rehearsal(self) -> Self:
        if self.with_data and self.rehearsal_level == "off":
            msg = 'with_data = true, but nothing is rehearsed here: say rehearsal = "shown" or "required"'
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _a_hotfix_passes_something(self) -> Self:
        if self.hotfix and not (self.windows or self.freezes or self.hotfix_passes == "all"):
            msg = "hotfix names who may pass windows and freezes, but there are none: add some, or leave it out"
            raise ValueError(msg)
        return self

    @property
    def asks_people(self) -> bool:
        """Whether somebody must say yes before anything runs here: by its own approvals, or by a rule of its own."""
        return bool(self.approvals or self.rules)

    @property
    def takes_codes(self) -> bool:
        """Whether some approval here takes a one-time code."""
        return self.second_factor or any(rule.second_factor for rule in self.hazards.values())

    @property
    def backup_level(self) -> str:
        """The level that must be proven before a statement runs: as said, else "restored" where people approve."""
        return self.backup or ("restored" if self.asks_people else "none")

    @property
    def rehearsal_level(self) -> str:
        """off, shown (a failed rehearsal is told) or required (it ends the asking): as said, else as people approve."""
        return self.rehearsal or ("required" if self.asks_people else "off")

    @property
    def drift_every(self) -> timedelta | None:
        """How often the target is looked at for what came from outside; None: never."""
        every = self.drift_check if self.drift_check is not None else timedelta(hours=1 if self.asks_people else 0)
        return every or None

    @property
    def watch_for(self) -> timedelta | None:
        """How long the target is watched behind a run: as said, else 10 min where people approve; None: not at all."""
        lasts = self.watch if self.watch is not None else timedelta(minutes=10 if self.asks_people else 0)
        return lasts or None

    def policy(self) -> dict[str, Any]:
        """The rules that an approval rests on, as they go into the digest (handles as written)."""
        return {
            "approvals": self.approvals,
            "approvers": sorted(self.approvers),
            "requesters": sorted(self.requesters),
            "unknown_authors": self.unknown_authors,
            "after": sorted(self.after),
            "backup": self.backup_level,
            "rehearsal": self.rehearsal_level,
            "with_data": self.with_data,
            "isolation": self.isolation,
            "hazards": {name: rule.policy() for name, rule in sorted(self.hazards.items())},
            **({"rules": [rule.policy() for rule in self.rules]} if self.rules else {}),
            "overriders": sorted(self.overriders),
            "expires_seconds": int(self.expires.total_seconds()),
            **self._when(),
            "confirm": self.confirm,
            **({"second_factor": True} if self.second_factor else {}),
            **({"disposable": True} if self.disposable else {}),
            **({"restore_point": True} if self.restore_point else {}),
            "health": [check.policy() for check in self.health],
            **({"tables": sorted(self.tables)} if self.tables else {}),
            **({"project_url": self.project_url} if self.project_ref and self.project_url else {}),
            **({"management_api": managed} if self.project_ref and (managed := _other_api()) else {}),
            **({"prune": True} if self.prune else {}),
            **({"smoke": self.smoke} if self.smoke != "options" else {}),
            **({"exposed_schemas": sorted(self.exposed_schemas)} if self.exposed_schemas is not None else {}),
        }

    def _when(self) -> dict[str, Any]:
        """When a run may begin and who may pass that, where something says so."""
        said: dict[str, Any] = {}
        if self.windows:
            said["windows"] = sorted(self.windows)
        if self.freezes:
            said["freezes"] = [one.model_dump(by_alias=True) for one in self.freezes]
        if self.hotfix:
            said |= {"hotfix": sorted(self.hotfix), "hotfix_passes": self.hotfix_passes}
        return said


def _other_api() -> str:
    """Where Management API calls go, where that is not Supabase's own address; else empty."""
    base = os.environ.get("SUPABASE_API_URL", "").strip().rstrip("/")
    return "" if base == "https://api.supabase.com" else base


def _may_be_enough(people: set[str], approvals: int) -> bool:
    """Whether so many could agree; nobody knows yet how many are in a group."""
    return len(people) >= approvals or any(entry.startswith("@") for entry in people)
