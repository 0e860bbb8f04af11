"""Who and what is in a Slack workspace: people, user groups, channels. Change them while the bot runs."""

import re
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace

from sandbox.slack_shapes import JSON


@dataclass(frozen=True)
class Person:
    """Someone (or a bot) that Slack knows; the flags are those of `users.info`."""

    id: str
    name: str
    team_id: str
    tz: str = "Europe/London"
    email: str = ""
    deleted: bool = False
    is_bot: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False
    is_admin: bool = False

    @property
    def handle(self) -> str:
        """What others type after an @."""
        return self.name.split()[0].lower()

    def as_json(self) -> JSON:
        """The `user` object of `users.info`."""
        return {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.handle,
            "real_name": self.name,
            "deleted": self.deleted,
            "is_bot": self.is_bot,
            "is_app_user": False,
            "is_restricted": self.is_restricted,
            "is_ultra_restricted": self.is_ultra_restricted,
            "is_stranger": self.is_stranger,
            "is_admin": self.is_admin,
            "is_owner": False,
            "tz": self.tz,
            "profile": {"display_name": self.name, "real_name": self.name, "email": self.email},
        }


@dataclass(frozen=True)
class UserGroup:
    """A user group such as @database-owners; Slack calls a switched-off group disabled."""

    id: str
    handle: str
    users: tuple[str, ...]
    disabled: bool = False
    updated_by: str = "USLACKBOT"

    def as_json(self, team_id: str, with_users: bool) -> JSON:
        """The `usergroup` object of `usergroups.list`."""
        shown: JSON = {
            "id": self.id,
            "team_id": team_id,
            "handle": self.handle,
            "name": self.handle,
            "is_usergroup": True,
            "date_delete": 1 if self.disabled else 0,
            "user_count": len(self.users),
            "created_by": "USLACKBOT",
            "updated_by": self.updated_by,
        }
        return shown | ({"users": list(self.users)} if with_users else {})


@dataclass(frozen=True)
class Channel:
    """A channel, or with `is_im` a private conversation of one person with the bot."""

    id: str
    name: str
    members: tuple[str, ...] = ()
    is_private: bool = False
    is_archived: bool = False
    is_ext_shared: bool = False
    is_im: bool = False

    def as_json(self, bot_id: str) -> JSON:
        """The `channel` object of `conversations.info`."""
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": not self.is_im,
            "is_group": False,
            "is_im": self.is_im,
            "is_private": self.is_private or self.is_im,
            "is_archived": self.is_archived,
            "is_shared": self.is_ext_shared,
            "is_ext_shared": self.is_ext_shared,
            "is_pending_ext_shared": False,
            "is_org_shared": False,
            "is_member": bot_id in self.members,
            "num_members": len(self.members),
        }


@dataclass
class Workspace:
    """One workspace and the bot in it. `people`, `groups` and `channels` are by id and may change at any time."""

    team_id: str
    name: str
    bot: Person
    people: dict[str, Person] = field(default_factory=dict)
    groups: dict[str, UserGroup] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.people[self.bot.id] = self.bot

    # --- finding ----------------------------------------------------------------------------------

    def person(self, who: str) -> Person:
        """A person by id, first name or full name, in any case. Raises KeyError when nobody or several fit."""
        if who in self.people:
            return self.people[who]
        fit = [p for p in list(self.people.values()) if who.lower() in (p.name.lower(), p.handle)]
        if len(fit) != 1:
            raise KeyError(f"{len(fit)} people are called {who!r}")
        return fit[0]

    def channel(self, which: str) -> Channel:
        """A channel by id or name, with or without #. Raises KeyError when there is none."""
        if which in self.channels:
            return self.channels[which]
        fit = [c for c in list(self.channels.values()) if c.name == which.removeprefix("#")]
        if not fit:
            raise KeyError(f"there is no channel {which!r}")
        return fit[0]

    def group(self, which: str) -> UserGroup:
        """A user group by id or handle, with or without @. Raises KeyError when there is none."""
        if which in self.groups:
            return self.groups[which]
        fit = [g for g in list(self.groups.values()) if g.handle == which.removeprefix("@")]
        if not fit:
            raise KeyError(f"there is no user group {which!r}")
        return fit[0]

    def direct_channel(self, user_id: str) -> Channel:
        """The private conversation of this person with the bot; it is made when first needed."""
        channel_id = "D" + user_id[1:]
        made = Channel(channel_id, "", (user_id, self.bot.id), is_im=True)
        return self.channels.setdefault(channel_id, made)

    # --- changing ---------------------------------------------------------------------------------

    def add_person(self, user_id: str, name: str, **facts: str | bool) -> Person:
        """Someone new. `facts` are the fields of `Person`."""
        person = replace(Person(user_id, name, self.team_id), **facts)  # type: ignore[arg-type]
        self.people[user_id] = person
        return person

    def change_person(self, who: str, **facts: str | bool) -> None:
        """Change facts about a person, such as `is_restricted=True`."""
        person = self.person(who)
        self.people[person.id] = replace(person, **facts)  # type: ignore[arg-type]

    def deactivate(self, who: str) -> None:
        """The person's account is closed; groups keep listing it, as they may in Slack."""
        self.change_person(who, deleted=True)

    def change_group(self, which: str, **facts: str | bool | tuple[str, ...]) -> None:
        """Change facts about a group, such as `handle="dbas"` or `disabled=True`."""
        group = self.group(which)
        self.groups[group.id] = replace(group, **facts)  # type: ignore[arg-type]

    def join_group(self, who: str, which: str) -> None:
        """The person is a member of the group from now on."""
        member, group = self.person(who).id, self.group(which)
        self.change_group(group.id, users=(*(u for u in group.users if u != member), member))

    def leave_group(self, who: str, which: str) -> None:
        """The person is no member of the group any more."""
        member, group = self.person(who).id, self.group(which)
        self.change_group(group.id, users=tuple(u for u in group.users if u != member))

    def rename_group(self, which: str, handle: str) -> None:
        """The group gets another handle and keeps its id."""
        self.change_group(which, handle=handle)

    def change_channel(self, which: str, **facts: str | bool | tuple[str, ...]) -> None:
        """Change facts about a channel, such as `is_archived=True` or `is_ext_shared=True`."""
        channel = self.channel(which)
        self.channels[channel.id] = replace(channel, **facts)  # type: ignore[arg-type]

    def share_channel(self, which: str, *guests: str) -> None:
        """Share the channel with another company; `guests` are the people of it who join."""
        channel = self.channel(which)
        joined = tuple(self.person(who).id for who in guests)
        self.change_channel(channel.id, is_ext_shared=True, members=(*channel.members, *joined))

    # --- words ------------------------------------------------------------------------------------

    def escaped(self, typed: str) -> str:
        """What arrives at the bot when somebody types this, with `should_escape` on: ids for known names."""
        safe = typed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return re.sub(r"(?<![\w@#])[@#][\w.-]*\w", lambda found: self._mention(found[0]), safe)

    def _mention(self, typed: str) -> str:
        try:
            if typed.startswith("#"):
                channel = self.channel(typed)
                return f"<#{channel.id}|{'' if channel.is_private else channel.name}>"
            if any(g.handle == typed[1:] for g in list(self.groups.values())):
                return f"<!subteam^{self.group(typed).id}>"
            return f"<@{self.person(typed[1:]).id}>"
        except KeyError:
            return typed

    def shown(self, thing_id: str) -> str:
        """What people read for an id: @Ben, #deploys or @database-owners; the id itself when unknown."""
        if thing_id in self.people:
            return f"@{self.people[thing_id].name}"
        if thing_id in self.channels:
            return f"#{self.channels[thing_id].name}"
        if thing_id in self.groups:
            return f"@{self.groups[thing_id].handle}"
        return thing_id


def demo_workspace() -> Workspace:
    """The company of the demo: Ana asks, Ben and Chi own the databases, Dee watches, Gus and Otto may do nothing."""
    team = "T0ACME"
    workspace = Workspace(team, "Acme", Person("U0COUNTER", "Countersign", team, is_bot=True))
    workspace.add_person("U0ANA", "Ana", email="ana@acme.example")
    workspace.add_person("U0BEN", "Ben", email="ben@acme.example")
    workspace.add_person("U0CHI", "Chi", email="chi@acme.example", tz="Asia/Taipei")
    workspace.add_person("U0DEE", "Dee", email="dee@acme.example")
    workspace.add_person("U0AUDRA", "Audra", email="audra@acme.example")
    workspace.add_person("U0GUS", "Gus", is_restricted=True)
    workspace.add_person("U0OTTO", "Otto", team_id="T0OTHER", is_stranger=True)

    workspace.groups["S0OWNERS"] = UserGroup("S0OWNERS", "database-owners", ("U0BEN", "U0CHI"))
    everyone = ("U0COUNTER", "U0ANA", "U0BEN", "U0CHI", "U0DEE", "U0AUDRA", "U0GUS")
    workspace.channels["C0DEPLOYS"] = Channel("C0DEPLOYS", "deploys", everyone)
    return workspace
