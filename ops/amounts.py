"""Amounts of bytes and rows in words: one way to say them, on cards as in hazards and errors."""


def bytes_text(count: int) -> str:
    """`712 bytes`, `1.5 kB`, `41 GB`: by 1024, as Postgres and psql say sizes."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "bytes" else f"{amount:.1f} {unit}"


def rows_text(count: int) -> str:
    """An estimate of rows, of two digits: `about 120 million rows`."""
    if count < 100:
        return f"about {count} row{'' if count == 1 else 's'}"
    rounded = float(f"{count:.1e}")
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if rounded >= size:
            return f"about {rounded / size:,.10g}{word} rows"
    return f"about {rounded:,.0f} rows"


def size_text(size_bytes: int | None, rows: int | None) -> str:
    """`41 GB, about 1.2 million rows`; empty where neither is known."""
    parts = [] if size_bytes is None else [bytes_text(size_bytes)]
    if rows is not None and rows >= 0:
        parts.append(rows_text(rows))
    return ", ".join(parts)
