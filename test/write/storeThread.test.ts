/** The store in its own thread, from the built program: `npm test` builds it first. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Fiber } from "effect"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { Store, type StoreShape } from "../../src/write/Store.ts"
import type { BlockPayload } from "../../src/write/rows.ts"
import type { StoreError } from "../../src/write/StoreError.ts"
import type { OpenOptions } from "../../src/write/storeProtocol.ts"
import {
  chain,
  coverageOf,
  light,
  payloads,
  query,
  rangesOf,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
} from "./support.ts"

const program = fileURLToPath(new URL("../../dist/write/storeThread.js", import.meta.url))

const withThread = <A, E, R>(
  options: OpenOptions,
  use: (store: StoreShape) => Effect.Effect<A, E, R>,
) => Effect.provide(Effect.flatMap(Store, use), Store.layer(options))

/** The parts of some blocks, one behind the other in one buffer of their own. */
const packed = (blocks: ReadonlyArray<BlockPayload>) => {
  const parts = blocks.flatMap(({ hash, header, body, receipts }) => [hash, header, body, receipts])
  const buffer = new ArrayBuffer(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  const place = (part: Uint8Array): Uint8Array => {
    const view = new Uint8Array(buffer, at, part.length)
    view.set(part)
    at += part.length
    return view
  }
  const views = blocks.map(({ blockNumber, hash, header, body, receipts }) => ({
    blockNumber,
    hash: place(hash),
    header: place(header),
    body: place(body),
    receipts: place(receipts),
  }))
  return { buffer, views }
}

type Packed = ReturnType<typeof packed>

const failureOf = <A>(result: Either.Either<A, StoreError>) =>
  Either.isLeft(result) ? result.left.failure : assert.fail("it did not fail")

/** Another process that opens the store to write, says so, and waits. */
const HOLDER = `
  const { Worker } = require("node:worker_threads")
  const worker = new Worker(process.argv[1], { execArgv: [] })
  worker.on("message", (reply) => console.log(reply.kind))
  const purpose = { kind: "sync", network: "devnet", chainId: 1337n, tables: [], checks: [], trusted: [],
    genesisHash: Uint8Array.from(Buffer.from(process.argv[3], "hex")) }
  worker.postMessage({ id: 1, call: "open", argument: { directory: process.argv[2], purpose,
    commitBlocks: 100, commitBytes: 1e6, commitAfterMs: 1000 } })
  setInterval(() => {}, 1000)
`

describe("the store's thread", () => {
  it("is built", () => {
    assert.isTrue(existsSync(program), `${program} is missing: run npm run build`)
  })

  it.scopedLive(
    "writes blocks whose buffer it was given, and lets several writes share a commit",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const options = syncOptions(directory, { tables: ["logs"] })
        yield* withThread(options, (store) =>
          Effect.gen(function* () {
            const packs = [packed(payloads(light, 7, 12)), packed(payloads(light, 0, 6))]
            const started = Date.now()
            const results = yield* Effect.forEach(
              packs,
              ({ buffer, views }) => store.write(views, [buffer]),
              { concurrency: "unbounded" },
            )
            assert.isBelow(Date.now() - started, 10_000)
            for (const { buffer } of packs) assert.strictEqual(buffer.byteLength, 0)
            assert.deepEqual(
              results.map(({ committed }) => committed),
              [[[7, 12]], [[0, 6]]],
            )
            assert.isAbove(results[0]!.databaseBytes, 0)
            const status = yield* store.status
            assert.include(status, { blocks: 13, logs: 240 })
          }),
        )
        const seen: Array<number> = []
        const report = yield* withThread(readOptions(directory), (store) =>
          store.verify(({ done }) => seen.push(done)),
        )
        assert.include(report, { damageCount: 0, blocks: 13 })
        assert.isNotEmpty(seen)
      }),
  )

  it.scopedLive(
    "tells a block that does not fit from one that does by their hashes, though their memory is freed",
    () =>
      Effect.gen(function* () {
        const other = generateChain({ blocks: 8, shape: "tiny", seed: 6 })
        const directory = yield* temporaryDirectory
        const { refused } = yield* withThread(syncOptions(directory), (store) =>
          Effect.gen(function* () {
            const writing = Effect.fnUntraced(function* ({ views, buffer }: Packed) {
              const write = yield* Effect.fork(store.write(views, [buffer]))
              yield* Effect.yieldNow()
              yield* store.flush
              return yield* Fiber.join(write)
            })
            yield* writing(packed(payloads(chain, 1, 3)))
            return yield* writing(packed(payloads(other, 4, 4)))
          }),
        )
        assert.deepInclude(refused[0], {
          reason: "parent",
          expected: chain.hashAt(3),
          actual: other.hashAt(3),
        })
      }),
  )

  it.scopedLive("commits what was sent when it is closed", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const options = syncOptions(directory, {}, { commitAfterMs: 60_000 })
      yield* withThread(options, (store) =>
        Effect.gen(function* () {
          yield* Effect.fork(store.write(payloads(chain, 1, 5)))
          // The thread answers in order, so the write has been taken by then.
          yield* Effect.yieldNow()
          yield* store.flush
        }),
      )
      assert.strictEqual(rangesOf(yield* coverageOf(directory, "payloads")), "1-5")
    }),
  )

  it.scopedLive("tells why it cannot open a store", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const missing = yield* Effect.either(withThread(readOptions(directory), () => Effect.void))
      assert.deepEqual(failureOf(missing), { kind: "missing" })
      yield* query(directory, "CREATE TABLE notes (text TEXT)")
      const foreign = yield* Effect.either(withThread(syncOptions(directory), () => Effect.void))
      assert.deepEqual(failureOf(foreign), { kind: "foreign_file" })
    }),
  )

  it.scopedLive("leaves off what nobody waits for any longer", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) =>
        Effect.zipRight(Effect.fork(store.write(payloads(chain, 0, 60))), store.flush),
      )
      yield* withThread(readOptions(directory), (store) =>
        Effect.gen(function* () {
          const first = yield* Effect.raceFirst(
            Effect.as(store.verify(), "verified"),
            Effect.as(Effect.void, "left"),
          )
          assert.strictEqual(first, "left")
          assert.strictEqual((yield* store.status).blocks, 61)
        }),
      )
    }),
  )

  it.scopedLive("refuses a store that another process writes to, until that one is killed", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const genesis = Buffer.from(chain.hashAt(0)!).toString("hex")
      const argv = ["-e", HOLDER, program, directory, genesis]
      const holder = yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] })),
        (child) => Effect.sync(() => child.kill("SIGKILL")),
      )
      const [said] = yield* Effect.promise(async () => once(holder.stdout, "data"))
      assert.strictEqual(String(said).trim(), "done")
      const open = Effect.either(withThread(syncOptions(directory), () => Effect.void))
      assert.deepEqual(failureOf(yield* open), { kind: "locked" })
      const status = yield* withThread(readOptions(directory), (store) => store.status)
      assert.strictEqual(status.blocks, 0)
      const gone = Effect.promise(async () => once(holder, "exit"))
      holder.kill("SIGKILL")
      yield* gone
      assert.isTrue(Either.isRight(yield* open))
    }),
  )
})
