// Writes ../static: the page, its script and style, and the licences of what is bundled. The same input gives the same bytes.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(here, process.argv[2] ?? "../static");
mkdirSync(target, { recursive: true });

const built = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: target,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  legalComments: "none",
  define: { "process.env.NODE_ENV": '"production"' },
  metafile: true,
  logLevel: "warning",
});

copyFileSync(join(here, "src/index.html"), join(target, "index.html"));
writeFileSync(join(target, "LICENSES.txt"), licences(Object.keys(built.metafile.inputs)));

/** The licence text of every package of which something is in the bundle, by name. */
function licences(inputs) {
  const folders = new Set();
  for (const input of inputs) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) folders.add(found[1]);
  }
  const parts = [...folders].map((folder) => {
    const about = JSON.parse(readFileSync(join(here, folder, "package.json"), "utf8"));
    const file = readdirSync(join(here, folder)).find((name) => /^(licen[cs]e|copying)/i.test(name));
    const text = file ? readFileSync(join(here, folder, file), "utf8") : "(The package holds no licence text.)";
    return `${about.name} ${about.version} (${about.license})\n\n${text.replace(/\r\n/g, "\n").trim()}\n`;
  });
  const rule = `\n${"-".repeat(100)}\n\n`;
  return `What app.js and app.css are made of, besides Countersign's own code.\n${rule}${parts.sort().join(rule)}`;
}
