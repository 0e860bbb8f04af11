"""The zip of an evidence: the report, what is behind it, what proves it, and the program that checks that.

The same evidence is the same bytes: fixed times, fixed order, no field for when it was made.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import audit
from audit import write_csv
from commands.evidencing.chapters import chapters_of
from commands.evidencing.html import report_html
from commands.evidencing.pdf import report_pdf
from commands.show import request_json
from ops.evidence import Evidence

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)

_README = """\
Evidence about {request}, from the Countersign log {log}

  report.html, report.pdf   what happened, for people; the same text
  request.json              the request as it stood, for programs
  plan.json                 the plan; its SHA-256 is the digest that people said yes to
  document.txt              what a yes stood for, whole (SQL or sentences), secrets cut
  schema.diff               what the plan changed in the schema of a copy, where it was tried on one
  events.jsonl, events.csv  every event about it; jsonl is what the proofs are of, with each event's salt
  proofs.json               for each event, the hashes that lead from it to the root of the log (RFC 6962)
  checkpoint.txt            that root, with how many events it covers, signed (C2SP tlog-checkpoint)
  key.txt                   the public half of the key that signed
  manifest.json             the SHA-256 of each of these files
  manifest.sig              that list, signed by the same key
  verify.py                 checks all of this; read it first, it is short

To check it, with Python 3.8 or newer and nothing else:

  python3 -I verify.py --key NAME+ID+KEY

Take the key from somebody else than who gave you this. Without --key the one in key.txt is used, which shows that all
fits together, and not who signed.
"""


def bundle_of(
    evidence: Evidence, names: Mapping[str, str], document: str, diff: str, sign: Callable[[bytes], str]
) -> tuple[bytes, str]:
    """The zip, and the SHA-256 of its list of files. `sign` gives the signature of that list, empty where there is no key."""
    request = evidence.request
    chapters = chapters_of(evidence, names, document, diff)
    title = f"Evidence about {request.id}"
    texts = {
        "README.txt": _README.format(request=request.id, log=evidence.log_id),
        "report.html": report_html(title, chapters),
        "request.json": _json(request_json(request, evidence.at)),
        "document.txt": document,
        "schema.diff": diff,
        "events.jsonl": "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in evidence.rows),
        "events.csv": _csv(evidence),
        "proofs.json": _json(
            {"paths": {str(seq): [one.hex() for one in path] for seq, path in evidence.paths.items()}}
        ),
        "checkpoint.txt": evidence.note,
        "key.txt": "".join(f"{key.to_text()}\n" for key in evidence.keys),
        "verify.py": Path(audit.__file__).with_name("standalone.py").read_text(encoding="utf-8"),
    }
    files = {name: text.encode() for name, text in texts.items() if text}
    files |= {"plan.json": evidence.plan, "report.pdf": report_pdf(title, chapters, evidence.at)}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    about = {"request": request.id, "log": evidence.log_id, "size": evidence.size, "files": hashes}
    manifest = _json(about).encode()
    files[MANIFEST] = manifest
    if signature := sign(manifest):
        files[SIGNATURE] = signature.encode()
    return _zip(f"{request.id}-evidence", files), hashlib.sha256(manifest).hexdigest()


def _json(found: Mapping[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _csv(evidence: Evidence) -> str:
    out = io.StringIO(newline="")
    write_csv(iter(evidence.rows), out)
    return out.getvalue()


def _zip(folder: str, files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{folder}/{name}", _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return out.getvalue()
