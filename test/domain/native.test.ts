/**
 * The addon itself. Its functions are tested beside what uses them; those tests are only there where
 * the addon is, so that this one has to say where it must be.
 */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { native } from "../../src/domain/native.ts"

const hasCompiler = ["cc", "make", "python3"].every(
  (tool) => spawnSync(tool, ["--version"], { stdio: "ignore" }).status === 0,
)
const isLinux = process.platform === "linux"

describe("the addon", () => {
  it("was compiled where there is a compiler, unless it is not wanted", () => {
    const isWanted = process.env["ANNALS_NO_NATIVE"] === undefined
    const mustBe = isWanted && isLinux && hasCompiler
    assert.isTrue(native !== undefined || !mustBe, "npm run install compiles it")
    assert.isTrue(native === undefined || isWanted)
  })

  it("uses the vectors that the processor has", () => {
    if (native === undefined || !isLinux || process.arch !== "x64") return
    const flags = new Set(
      /^flags\s*:(.*)$/mu.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" "),
    )
    const lanes = flags.has("avx512f") ? 8 : flags.has("avx2") ? 4 : 1
    assert.strictEqual(native.lanes, lanes)
  })
})
