/** That the judge of fuzz targets sees what it is there for, and nothing else. */
import { assert, describe, it } from "vitest"
import { RlpError } from "../../src/domain/rlp.ts"
import { judge } from "./judge.ts"
import { agree, attempt, type FuzzTarget } from "./target.ts"

const input = Uint8Array.of(1, 2, 3)

const target = (run: FuzzTarget["run"], limits: Partial<FuzzTarget> = {}): FuzzTarget => ({
  name: "a-target",
  kind: "bytes",
  seeds: () => [input],
  run,
  ...limits,
})

const kindOf = async (each: FuzzTarget): Promise<string | undefined> =>
  (await judge(each, input))?.kind

/** Takes so much time of the CPU, however busy the machine is. */
const spin = (cpuMs: number): void => {
  const start = process.cpuUsage()
  while (process.cpuUsage(start).user < cpuMs * 1_000);
}

const refuse = (): never => {
  throw new RlpError("no", 0)
}

const stumble = (): never => {
  throw new TypeError("undefined is not what was thought")
}

describe("the judge", () => {
  it("lets a decoder refuse by its own error, and by no other", async () => {
    assert.isUndefined(await kindOf(target(() => attempt(refuse, RlpError))))
    assert.strictEqual(await kindOf(target(() => attempt(stumble, RlpError))), "threw")
    assert.strictEqual(await kindOf(target(refuse)), "threw")
    assert.strictEqual(await kindOf(target(async () => stumble())), "threw")
  })

  it("hears of promises that are not kept", async () => {
    assert.strictEqual(await kindOf(target(() => agree(false, "never"))), "disagrees")
  })

  it("sees work that takes too long every time, and not once", async () => {
    assert.strictEqual(await kindOf(target(() => spin(30), { cpuMs: 5 })), "slow")
    let runs = 0
    assert.isUndefined(
      await kindOf(target(() => (runs++ === 0 ? spin(30) : undefined), { cpuMs: 5 })),
    )
  })

  it("sees memory that is taken every time", async () => {
    const kept: Array<Uint8Array> = []
    const grows = target(() => void kept.push(new Uint8Array(8 * 2 ** 20).fill(1)), {
      growthMib: 4,
    })
    assert.strictEqual(await kindOf(grows), "grew")
  })

  it("gives each run bytes of its own", async () => {
    const altering = target((bytes) => {
      agree(bytes[0] === 1, "as it was given")
      bytes[0] = 9
    })
    assert.isUndefined(await kindOf(altering))
    assert.isUndefined(await kindOf(altering))
  })
})
