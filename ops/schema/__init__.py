"""A schema object by object, as pg_dump writes it down: reading it, comparing two, saying the difference in words."""
