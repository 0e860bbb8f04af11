"""What tests of evidence share: words that mean harm, and what a reader of an HTML file reads."""

from html.parser import HTMLParser
from pathlib import Path

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)> \u202egnp.exe\x1b[2J 漢 =1+1 \" ' &amp;"


class Text(HTMLParser):
    """What a reader of an HTML file reads, its tags, and what they carry."""

    def __init__(self, path: Path | str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes = "", set[str](), list[tuple[str, str | None]]()
        self.feed(path if isinstance(path, str) else path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def is_harmless(html: str) -> bool:
    read = Text(html)
    loads = [value for name, value in read.attributes if name.startswith("on") or name in {"src", "action"}]
    leads = [value for name, value in read.attributes if name == "href" and not str(value).startswith("#c")]
    return not loads and not leads and not read.tags & {"script", "img", "iframe", "link", "object", "form", "base"}
