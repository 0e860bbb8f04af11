"""The table [listener]: where the bot listens for CI and for one-time pages, and the address by which others reach it."""

import ipaddress
import re
from typing import Annotated
from typing import Self
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pydantic import Field
from pydantic import model_validator

from ops.setting_values import Table

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")


def is_loopback(host: str) -> bool:
    """Whether this name or address is this host alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        msg = 'an address to listen on is a host and a port, such as "127.0.0.1:8750" or "[::1]:8750"'
        raise ValueError(msg)
    return text


def plain_url(text: str) -> str:
    """A web address without a secret, a query or a slash at its end; http only where it leads to this host."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if (
        not host
        or parts.scheme not in {"http", "https"}
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
        or not text.isascii()
        or not text.isprintable()
        or " " in text
    ):
        msg = "an address is https://HOST or https://HOST/PATH, with nothing secret in it"
        raise ValueError(msg)
    if parts.scheme == "http" and not is_loopback(host):
        msg = "what travels there are credentials: the address begins with https:// (http:// only to this host)"
        raise ValueError(msg)
    return text.rstrip("/")


def origin_of(url: str) -> str:
    """The origin of an address as a browser says it: small letters, no path, the port only where it is not the usual one."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = parts.port in {None, {"http": 80, "https": 443}[parts.scheme]}
    return f"{parts.scheme}://{host}" + ("" if usual else f":{parts.port}")


PlainUrl = Annotated[str, AfterValidator(plain_url)]


class Listener(Table):
    """`listen` is where the bot listens, in clear text: TLS is the business of a proxy in front of it. `url` is the address
    by which CI and people reach it through that proxy. `behind_proxy`: the proxy is on another host."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8750"
    url: PlainUrl
    behind_proxy: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _is_not_open_by_accident(self) -> Self:
        if not self.behind_proxy and not is_loopback(self.host):
            msg = (
                f"{self.listen} can be reached from other hosts, in clear text: listen on 127.0.0.1 and put a proxy that "
                "speaks TLS in front, or say behind_proxy = true where only such a proxy reaches it"
            )
            raise ValueError(msg)
        return self

    @property
    def host(self) -> str:
        match = _ADDRESS.fullmatch(self.listen)
        return (match["v6"] or match["host"]) if match else ""

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])
