/** The built program as a process: exit codes, streams, signals. `npm test` builds it first. */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const main = fileURLToPath(new URL("../../dist/main.js", import.meta.url))
const DEADLINE_MS = 20_000

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const annals = (argv: ReadonlyArray<string>, environment: NodeJS.ProcessEnv = {}) =>
  new Promise<Ended>((resolve, reject) => {
    const env = { PATH: process.env["PATH"], ...environment }
    const child = spawn(process.execPath, [main, ...argv], { env, timeout: DEADLINE_MS })
    const ended = { stdout: "", stderr: "" }
    child.stdout.setEncoding("utf8").on("data", (text: string) => (ended.stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (ended.stderr += text))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, ...ended }))
  })

describe("dist/main.js", () => {
  it("is a script that Node runs", () => {
    assert.match(readFileSync(main, "utf8"), /^#!\/usr\/bin\/env node\n/)
  })

  it("prints its help to a pipe without colour codes, even where colour is forced", async () => {
    for (const argv of [["--help"], ["sync", "--help"]]) {
      const { code, stderr, stdout } = await annals(argv, { FORCE_COLOR: "1" })
      assert.strictEqual(code, 0)
      assert.strictEqual(stderr, "")
      assert.notInclude(stdout, "\u001b")
      assert.include(stdout, "Usage: annals")
    }
  })

  it("prints the version of package.json", async () => {
    const manifest: unknown = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
    )
    const { stdout } = await annals(["--version"])
    assert.deepInclude(manifest, { version: stdout.trim() })
  })

  it.each([
    { argv: ["sync", "--verify", "all,none"], says: "--verify" },
    { argv: ["sync", "--benchmark", "probe", "--start-block", "9", "--end-block", "8"], says: "9" },
    { argv: ["sync", "--benchmark", "probe", "--peer", "enode://1@h:1"], says: "--peer" },
    { argv: ["sync", "--nonsense"], says: "--nonsense" },
  ])("refuses %j with code 2 and one line on stderr", async ({ argv, says }) => {
    const { code, stderr, stdout } = await annals(argv)
    assert.strictEqual(code, 2)
    assert.strictEqual(stdout, "")
    assert.match(stderr, /^annals: [^\n]+\n$/)
    assert.include(stderr, says)
  })

  it("reads the process's environment", async () => {
    const { code, stderr } = await annals(["sync", "--benchmark", "probe"], {
      ANNALS_TIMEOUT_MS: "soon",
    })
    assert.strictEqual(code, 2)
    assert.include(stderr, "ANNALS_TIMEOUT_MS")
  })

  it.each([
    { signal: "SIGINT", expected: 130 },
    { signal: "SIGTERM", expected: 143 },
  ] as const)("ends in order on $signal with code $expected", async ({ signal, expected }) => {
    const argv = ["devnet", "--generate", "2", "--shape", "tiny", "--peers", "2"]
    const ended = await new Promise<Ended>((resolve, reject) => {
      const child = spawn(process.execPath, [main, ...argv], { timeout: DEADLINE_MS })
      let stdout = ""
      let stderr = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        stdout += text
        if (stdout.split("\n").length === 3) child.kill(signal)
      })
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
      child.on("error", reject)
      child.on("close", (code) => resolve({ code, stdout, stderr }))
    })
    assert.strictEqual(ended.code, expected)
    assert.match(ended.stdout, /^(enode:\/\/[^\n]+\n){2}$/)
    assert.include(ended.stderr, `annals: ${signal}: stopping`)
  })

  it("is quiet when the reader of its output has gone", async () => {
    const ended = await new Promise<Ended>((resolve, reject) => {
      const child = spawn(process.execPath, [main, "--completions", "bash"], {
        timeout: DEADLINE_MS,
      })
      let stderr = ""
      child.stdout.destroy()
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
      child.on("error", reject)
      child.on("close", (code) => resolve({ code, stdout: "", stderr }))
    })
    assert.deepEqual(ended, { code: 0, stdout: "", stderr: "" })
  })
})
