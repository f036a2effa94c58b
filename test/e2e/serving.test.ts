/** annals as a peer of others: a process that syncs, and whom we dial meanwhile. */
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import net from "node:net"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { Effect } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Enode, isEnodeInvalid, parseEnode } from "../../src/chain/enode.ts"
import { forkIdAt } from "../../src/chain/forkId.ts"
import { genesisHead, localStatus } from "../../src/chain/status.ts"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { fromHex } from "../../src/domain/hex.ts"
import { startDiscv4 } from "../../src/peers/discv4/Discv4Node.ts"
import { openSession, type Session } from "../../src/wire/Session.ts"
import { run, type Running, start, withDevnet } from "../support/program.ts"

const BLOCKS = 300
const chain = generateChain({ blocks: BLOCKS, shape: "tiny", seed: 9 })
const spec = generatedChainSpec()
const devnetArgs = [`--generate=${BLOCKS}`, "--shape=tiny", "--seed=9"]

let scratch = ""
beforeAll(() => {
  scratch = mkdtempSync(path.join(os.tmpdir(), "annals-serving-"))
})
afterAll(() => rmSync(scratch, { recursive: true }))

/** Where a running program says it listens. */
const enodeOf = async ({ child, outcome }: Running): Promise<Enode> => {
  const told = new Promise<Enode>((resolve) => {
    createInterface({ input: child.stderr! }).on("line", (line) => {
      const [, text] = /^annals: listening on \S+:\d+ (enode:\S+)$/u.exec(line) ?? []
      const enode = text === undefined ? undefined : parseEnode(text)
      if (enode !== undefined && !isEnodeInvalid(enode)) resolve(enode)
    })
  })
  const first = await Promise.race([told, outcome])
  return "nodeId" in first ? first : assert.fail(first.stderr)
}

/** Dials a node, over eth/69. */
const withSession = <A>(
  enode: Enode,
  use: (session: Session) => Effect.Effect<A, unknown>,
): Promise<A> =>
  openSession(
    { host: enode.host, port: enode.tcpPort, nodeId: fromHex(enode.nodeId) },
    {
      privateKey: new Uint8Array(randomBytes(32)),
      clientId: "client",
      listenPort: 0,
      ethVersions: [69],
      localStatus: (version) => localStatus(spec, genesisHead(spec), version),
      checkStatus: () => undefined,
    },
  ).pipe(Effect.flatMap(use), Effect.scoped, Effect.runPromise)

const MS = 5_000
const asBuffers = (items: ReadonlyArray<Uint8Array>) => items.map((item) => Buffer.from(item))

/** Asks until what is asked for has come, for 20 s at the most. */
const until = async <A>(ask: () => Promise<A>, done: (answer: A) => boolean): Promise<A> => {
  for (const endMs = Date.now() + 20_000; ;) {
    const answer = await ask()
    if (done(answer) || Date.now() > endMs) return answer
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** All headers, down from the last block. */
const everything = { start: BLOCKS, limit: BLOCKS + 1, skip: 0, reverse: true }

/**
 * Runs a sync whose end is above what there is, so that it goes on waiting, and serving; hands
 * `use` its address once it holds the whole chain.
 */
const withFilledNode = async <A>(
  directory: string,
  peerFlags: ReadonlyArray<string>,
  use: (enode: Enode) => Promise<A>,
): Promise<A> => {
  const running = start([
    "sync",
    "--network=devnet",
    "--port=0",
    `--data-dir=${path.join(scratch, directory)}`,
    `--end-block=${BLOCKS + 10}`,
    ...peerFlags,
  ])
  try {
    const enode = await enodeOf(running)
    // The head's header is served from memory, before its block is stored: bodies tell.
    const all = Array.from({ length: BLOCKS + 1 }, (_, n) => chain.hashAt(n)!)
    const held = await until(
      () =>
        withSession(enode, (session) => session.getBlockBodies(all, MS)).then(
          ({ bodies }) => bodies.length,
        ),
      (count) => count === BLOCKS + 1,
    )
    assert.strictEqual(held, BLOCKS + 1)
    return await use(enode)
  } finally {
    running.child.kill("SIGINT")
    const { code, stderr } = await running.outcome
    assert.strictEqual(code, 130, stderr)
  }
}

describe("annals sync --port", () => {
  it("answers who dials it from its store, and announces the measured head", async () => {
    await withDevnet(2, devnetArgs, ({ peerFlags }) =>
      withFilledNode("store", peerFlags, (enode) =>
        withSession(enode, (session) =>
          Effect.gen(function* () {
            assert.deepInclude(session.status, { latestBlock: BLOCKS, earliestBlock: BLOCKS })
            assert.strictEqual(session.listenPort, enode.tcpPort)
            const numbers = Array.from({ length: BLOCKS + 1 }, (_, n) => n)
            const { headers } = yield* session.getBlockHeaders(everything, MS)
            const falling = numbers.map((n) => chain.headerAt(n)!).toReversed()
            assert.deepEqual(asBuffers(headers), asBuffers(falling))
            const hashes = numbers.map((n) => chain.hashAt(n)!)
            const { bodies } = yield* session.getBlockBodies(hashes, MS)
            assert.deepEqual(asBuffers(bodies), asBuffers(numbers.map((n) => chain.bodyAt(n)!)))
            const { lists } = yield* session.getReceipts(hashes, 0, MS)
            const receipts = numbers.map((n) => chain.receipts69At(n)!)
            assert.deepEqual(asBuffers(lists), asBuffers(receipts))
          }),
        ),
      ),
    )
  }, 60_000)

  it("is a peer that another annals can sync from", async () => {
    await withDevnet(2, devnetArgs, ({ peerFlags }) =>
      withFilledNode("first", peerFlags, async (enode) => {
        const { code, stdout, stderr } = await run([
          "sync",
          "--network=devnet",
          "--json",
          `--data-dir=${path.join(scratch, "second")}`,
          `--peer=enode://${enode.nodeId}@127.0.0.1:${enode.tcpPort}`,
          `--end-block=${BLOCKS}`,
        ])
        assert.strictEqual(code, 0, stderr)
        const { totals } = JSON.parse(stdout)
        assert.strictEqual(totals.blocks_succeeded, BLOCKS + 1)
      }),
    )
  }, 60_000)

  it("says in one line that a port is taken, and ends with 2", async () => {
    const server = net.createServer()
    const port = await new Promise<number>((resolve) => {
      server.listen(0, () => {
        const address = server.address()
        resolve(typeof address === "object" ? (address?.port ?? 0) : 0)
      })
    })
    const { code, stderr } = await run([
      "sync",
      "--network=hoodi",
      `--port=${port}`,
      `--data-dir=${path.join(scratch, "taken")}`,
    ])
    server.close()
    assert.strictEqual(code, 2, stderr)
    assert.match(stderr.trim(), new RegExp(`^annals: --port: ${port} is in use[^\\n]*$`, "u"))
  })

  it("tells who discovers it where it listens, on the same port over UDP", async () => {
    await withDevnet(1, [...devnetArgs, "--discovery"], async ({ peerFlags }) => {
      const running = start([
        "sync",
        "--network=devnet",
        "--no-discovery=false",
        "--benchmark=probe",
        "--port=0",
        `--end-block=${BLOCKS + 10}`,
        `--bootnode=${peerFlags[0]!.replace("--peer=", "")}`,
      ])
      const { nodeId, tcpPort } = await enodeOf(running)
      const record = await startDiscv4({
        host: "127.0.0.1",
        port: 0,
        tcpPort: 0,
        privateKey: new Uint8Array(randomBytes(32)),
        forkId: forkIdAt(spec, { number: 0, time: spec.genesisTime }),
        bootnodes: [],
      }).pipe(
        Effect.flatMap((node) =>
          node.requestRecord({ nodeId, ip: "127.0.0.1", udpPort: tcpPort, tcpPort }),
        ),
        // It says where it listens a moment before it can be discovered.
        Effect.retry({ times: 10 }),
        Effect.scoped,
        Effect.runPromise,
      )
      assert.strictEqual(record.tcpPort, tcpPort)
      running.child.kill("SIGINT")
      assert.strictEqual((await running.outcome).code, 130)
    })
  }, 60_000)

  it("refuses a port that is none", async () => {
    const { code, stderr } = await run(["sync", "--port=65536"])
    assert.strictEqual(code, 2)
    assert.include(stderr, "--port")
  })

  it("goes for a probe, which keeps nothing and answers with the head's header alone", async () => {
    await withDevnet(2, devnetArgs, async ({ peerFlags }) => {
      const running = start([
        "sync",
        "--network=devnet",
        "--benchmark=probe",
        "--port=0",
        `--end-block=${BLOCKS + 10}`,
        ...peerFlags,
      ])
      const enode = await enodeOf(running)
      const ask = { start: BLOCKS, limit: 1, skip: 0, reverse: false }
      const headers = await until(
        () =>
          withSession(enode, (session) => session.getBlockHeaders(ask, MS)).then(
            (answer) => answer.headers,
          ),
        (items) => items.length === 1,
      )
      assert.deepEqual(asBuffers(headers), asBuffers([chain.headerAt(BLOCKS)!]))
      await withSession(enode, (session) =>
        Effect.gen(function* () {
          const { bodies } = yield* session.getBlockBodies([chain.hashAt(BLOCKS)!], MS)
          assert.deepEqual(bodies, [])
          const below = yield* session.getBlockHeaders({ ...ask, start: 5 }, MS)
          assert.deepEqual(below.headers, [])
        }),
      )
      running.child.kill("SIGINT")
      assert.strictEqual((await running.outcome).code, 130)
    })
  }, 60_000)
})
