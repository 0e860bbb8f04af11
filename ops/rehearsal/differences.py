"""Why a copy is not what its target is, in a sentence."""

from collections.abc import Sequence

from ops.catalog import catalog_lines
from ops.database import Connection
from ops.rehearsal.restoring import Refused
from ops.rehearsal.target_state import Target

_NAMED = 3


def why_not_exact(session: Connection, copy: Connection, target: Target, refused: Sequence[Refused]) -> str:
    """`session` is still open on the target. Names a few of the objects that differ."""
    here, there = catalog_lines(copy), catalog_lines(session)
    differing = sorted({(name, kind) for kind, name, _ in here ^ there})
    named = ", ".join(f"{kind} {name}" for name, kind in differing[:_NAMED])
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    sentences = [f"The copy differs from {target.database} in {named or 'a moment of its own'}{more}."]
    major = copy.info.server_version // 10_000
    if major != target.version:
        sentences.append(
            f"It runs on PostgreSQL {major}, the target on {target.version}, which may word things otherwise."
        )
    sentences += [f"Not restored: {one}." for one in refused if one.matters][:_NAMED]
    return " ".join(sentences)
