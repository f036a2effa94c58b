import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer } from "effect"
import { packBlocks, readPack } from "../../src/process/blockPack.ts"
import { CheckPool } from "../../src/process/CheckPool.ts"
import { CheckThreadLost } from "../../src/process/CheckError.ts"
import { ALL_CHECKS, blockOf, flipped, goodBlock, lightChain } from "./goodBlock.ts"

const built = fileURLToPath(new URL("../../dist/process/checkWorker.js", import.meta.url))
if (!existsSync(built)) throw new Error("dist is missing: run `npm run build` before these tests")

/** A pool whose threads run `program`. */
const poolOf = (count: number, program: string) =>
  Layer.unwrapScoped(
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(path.join(tmpdir(), "annals-check-"))),
        (dir) => Effect.sync(() => rmSync(dir, { recursive: true })),
      ),
      (dir) => {
        const file = path.join(dir, "program.mjs")
        writeFileSync(file, program)
        return CheckPool.layerWith({ count, program: file })
      },
    ),
  )

/** A thread's program that does this with every message. */
const onMessage = (statement: string): string =>
  `import { parentPort } from "node:worker_threads"
   parentPort.on("message", () => { ${statement} })`

const lostReason = <A>(exit: Exit.Exit<A>): string => {
  const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return defect instanceof CheckThreadLost ? defect.message : `no defect of ours: ${String(defect)}`
}

const kinds = [
  ["inline", CheckPool.layerInline],
  ["in threads", CheckPool.layerThreads(2)],
] as const

for (const [kind, layer] of kinds) {
  describe(`CheckPool ${kind}`, () => {
    it.live("gives packs back with the outcome of each block and receipts in form 69", () =>
      Effect.gen(function* () {
        const pool = yield* CheckPool
        const bad = { ...goodBlock(68), body: flipped(goodBlock(68).body, 50) }
        const { pack, results, cpuMs } = yield* pool.check(
          packBlocks([goodBlock(68), bad]),
          ALL_CHECKS,
        )
        assert.deepEqual(
          results.map((each) => (each._tag === "Failed" ? each.part : each._tag)),
          ["Passed", "body"],
        )
        assert.deepEqual(readPack(pack), [goodBlock(69), bad])
        assert.isAtLeast(cpuMs, 0)
      }).pipe(Effect.provide(layer)),
    )

    it.live("answers many callers at once, each with its own pack", () =>
      Effect.gen(function* () {
        const pool = yield* CheckPool
        const numbers = Array.from({ length: 200 }, (_, index) => 1 + (index % 12))
        const checked = yield* Effect.forEach(
          numbers,
          (number) => pool.check(packBlocks([blockOf(lightChain, number, 68)!]), ALL_CHECKS),
          { concurrency: "unbounded" },
        )
        assert.deepEqual(
          checked.map(({ results }) => results[0]),
          numbers.map((blockNumber) => ({
            _tag: "Passed" as const,
            blockNumber,
            transactionCount: 10,
            logCount: 20,
          })),
        )
      }).pipe(Effect.provide(layer)),
    )
  })
}

describe("CheckPool in threads", () => {
  it.live("takes the pack away while it is checked, and tells the threads' time", () =>
    Effect.gen(function* () {
      const pool = yield* CheckPool
      assert.deepEqual(pool.threadsCpuMs(), [0, 0])
      const pack = packBlocks([goodBlock(69)])
      const fiber = yield* Effect.fork(pool.check(pack, ALL_CHECKS))
      yield* Effect.yieldNow()
      assert.strictEqual(pack.byteLength, 0)
      yield* Fiber.join(fiber)
      const times = pool.threadsCpuMs()
      assert.lengthOf(times, 2)
      assert.isAbove(Math.max(...times), 0)
    }).pipe(Effect.provide(CheckPool.layerThreads(2))),
  )

  it.live("gives a thread two packs at a time, and drops what nobody waits for any more", () =>
    Effect.gen(function* () {
      const pool = yield* CheckPool
      const packs = Array.from({ length: 20 }, () => packBlocks([goodBlock(69)]))
      const givenAway = () => packs.filter(({ byteLength }) => byteLength === 0).length
      const abandoned = yield* Effect.forEach(packs, (pack) =>
        Effect.fork(pool.check(pack, ALL_CHECKS)),
      )
      yield* Effect.yieldNow()
      assert.strictEqual(givenAway(), 2)
      yield* Fiber.interruptAll(abandoned)
      const { results } = yield* pool.check(packBlocks([goodBlock(68)]), ALL_CHECKS)
      assert.deepEqual(
        results.map(({ _tag }) => _tag),
        ["Passed"],
      )
      assert.strictEqual(givenAway(), 2)
    }).pipe(Effect.provide(CheckPool.layerThreads(1))),
  )

  it.live("ends with its scope, and lets those who wait go", () =>
    Effect.gen(function* () {
      const waiting = yield* Effect.scoped(
        Effect.gen(function* () {
          const context = yield* Layer.build(poolOf(1, onMessage("")))
          const pool = Context.get(context, CheckPool)
          return yield* Effect.forkDaemon(pool.check(packBlocks([]), ALL_CHECKS))
        }),
      )
      const exit = yield* Fiber.await(waiting)
      assert.isTrue(Exit.isInterrupted(exit))
    }),
  )

  it.live("dies of a thread that throws, of one that exits, and of every call after that", () =>
    Effect.gen(function* () {
      for (const [program, reason] of [
        [onMessage("throw new Error('a bug')"), /a bug/],
        [onMessage("process.exit(3)"), /code 3/],
        ["throw new Error('at its start')", /at its start/],
      ] as const) {
        const exits = yield* Effect.gen(function* () {
          const pool = yield* CheckPool
          const check = Effect.suspend(() => pool.check(packBlocks([]), ALL_CHECKS))
          return [yield* Effect.exit(check), yield* Effect.exit(check)]
        }).pipe(Effect.provide(poolOf(1, program)))
        for (const exit of exits) assert.match(lostReason(exit), reason)
      }
    }),
  )

  it.live("does not start without its program", () =>
    Effect.gen(function* () {
      for (const program of ["/nowhere/checkWorker.js", undefined]) {
        const exit = yield* Effect.exit(
          Effect.provide(CheckPool, CheckPool.layerWith({ count: 1, program })),
        )
        assert.match(lostReason(exit), /checkWorker\.js, is missing/)
      }
    }),
  )
})
