"""Prints docs/words.md from what the words and tools say of themselves: python docs/make_words.py > docs/words.md"""

from commands.manual import tool_manual
from commands.manual import word_manual
from commands.manual import words_document
from commands.tool_parsers import parser_of
from commands.words import TOOLS
from commands.words import declared_words


def document() -> str:
    """The whole document."""
    words = [word_manual(word) for word in declared_words().values()]
    return words_document([*words, *(tool_manual(tool, parser_of(tool)) for tool in TOOLS)])


if __name__ == "__main__":
    print(document(), end="")
