/** A probe loads nothing of a database, a bloom, a root or a server: its import graph says so. */
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import { assert, describe, it } from "vitest"

/** Files that are loaded with `entry`: its static imports, and theirs. */
const loadedWith = async (entry: string): Promise<ReadonlyArray<string>> => {
  const root = fileURLToPath(new URL("../..", import.meta.url))
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "node",
    packages: "external",
    logLevel: "silent",
  })
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const { path, kind } of metafile.inputs[file]?.imports ?? []) {
      if (kind !== "dynamic-import") visit(path)
    }
  }
  visit(entry)
  return [...seen]
}

describe("what a probe loads", () => {
  it("has no database, bloom, root, generator or server in it", async () => {
    const files = await loadedWith("src/modes/probe.ts")
    assert.include(files, "src/fetch/Fetcher.ts")
    const heavy = files.filter((file) =>
      /sql|bloom|trieRoot|generatedChain|process\/check|write\/Store|Listener|http/iu.test(file),
    )
    assert.deepStrictEqual(heavy, [])
  })

  it("of an ingest has all of them", async () => {
    const files = (await loadedWith("src/modes/ingest.ts")).join(" ")
    for (const part of ["bloom", "trieRoot", "write/Store"]) assert.include(files, part)
  })
})
