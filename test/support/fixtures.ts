/**
 * Where the real blocks and recorded messages are: `../shared/fixtures` beside the project, or
 * `$ANNALS_FIXTURES`. A user's clone has neither; a test that needs them is skipped there, in one
 * line that says so. Where the folder exists, `.ci/run` treats a skip as a failure.
 */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import path from "node:path"

const beside = fileURLToPath(new URL("../../../shared/fixtures", import.meta.url))
const dir = process.env["ANNALS_FIXTURES"] ?? beside

/** The folder of fixtures; undefined where there is none. */
export const fixturesDir: string | undefined = existsSync(path.join(dir, "README.md"))
  ? dir
  : undefined

if (fixturesDir === undefined) {
  console.info("fixture tests are skipped: no ../shared/fixtures and no $ANNALS_FIXTURES")
}

/** The path of one fixture. Only for tests that run when {@link fixturesDir} is there. */
export const fixture = (name: string): string => path.join(fixturesDir ?? dir, name)
