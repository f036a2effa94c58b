/**
 * The processes of the transport benchmark: `server`, `ours`, `stock`. The runner,
 * `transport.mjs`, starts them one after the other and compares.
 *
 * Both clients ask the same server for the same receipts on eth/68, four requests at a time over
 * one connection. What is counted is the CPU time of the client's process while it transfers:
 * after a warm-up, from the first request to the last answer. MB are millions of bytes of RLP.
 */
import { Deferred, Effect } from "effect"
import { giveBack, lendMemory } from "../src/domain/answerMemory.ts"
import { fromHex } from "../src/domain/hex.ts"
import { encodeReceipts, type Status } from "../src/wire/ethMessages.ts"
import { nodeIdOf } from "../src/wire/handshake.ts"
import { listen } from "../src/wire/Listener.ts"
import { openSession, type SessionOptions } from "../src/wire/Session.ts"
import { tuneEngine } from "../src/wire/tuneEngine.ts"
import { BLOCKS_PER_ANSWER, makeReceipts } from "./transportReceipts.ts"

const HOST = "127.0.0.1"
const IN_FLIGHT = 4
const ANSWERS = 6
const TIMEOUT_MS = 30_000
const SERVER_KEY = new Uint8Array(32).fill(0x11)
const CLIENT_KEY = new Uint8Array(32).fill(0x22)
const GENESIS = fromHex("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3")

const status: Status = {
  version: 68,
  networkId: 1n,
  totalDifficulty: 1n,
  bestHash: GENESIS,
  genesisHash: GENESIS,
  forkHash: fromHex("fc64ec04"),
  forkNext: 1_150_000n,
}

const optionsOf = (privateKey: Uint8Array, more: Partial<SessionOptions>): SessionOptions => ({
  privateKey,
  clientId: "annals/bench",
  listenPort: 0,
  ethVersions: [68],
  localStatus: () => status,
  checkStatus: () => undefined,
  ...more,
})

/** Hashes that ask for answer number `n`: the server looks at the first byte only. */
const hashesOf = (n: number): Array<Uint8Array> =>
  Array.from({ length: BLOCKS_PER_ANSWER }, () => new Uint8Array(32).fill(n % ANSWERS))

/** Serves until it is killed; prints its port and the sizes of its answers. */
const server = Effect.gen(function* () {
  const answers = makeReceipts(ANSWERS, 1)
  const options = optionsOf(SERVER_KEY, {
    onRequest: (_session, request) => {
      const n = "hashes" in request ? (request.hashes[0]?.[0] ?? 0) : 0
      return Effect.succeed(encodeReceipts(68, request.requestId, answers[n]!))
    },
  })
  const { port } = yield* listen({ host: HOST, port: 0 }, options, (session) => session.closed)
  const sizes = answers.map((lists) => encodeReceipts(68, 1n, lists).length)
  console.log(JSON.stringify({ port, sizes }))
  return yield* Effect.never
})

/** Asks for the `n`-th answer and gives how many blocks it held. */
type Ask = (n: number) => Effect.Effect<number>

/** Our session, in a process that is tuned as the program's is. */
const ours = (port: number) =>
  Effect.gen(function* () {
    tuneEngine()
    const peer = { host: HOST, port, nodeId: nodeIdOf(SERVER_KEY) }
    const session = yield* openSession(peer, optionsOf(CLIENT_KEY, {}))
    const ask: Ask = (n) =>
      session.getReceipts(hashesOf(n), 0, TIMEOUT_MS).pipe(
        Effect.map(({ lists }) => {
          // As the program does when the last block of an answer is in its pack.
          lendMemory(lists[0]!, 1)
          giveBack(lists[0]!)
          return lists.length
        }),
        Effect.orDie,
      )
    return ask
  })

/** The library's RLPx and ETH as they come. */
const stock = (port: number) =>
  Effect.gen(function* () {
    const { ETH, RLPx } = yield* Effect.promise(() => import("@ethereumjs/devp2p"))
    const { Common, Hardfork, Mainnet } = yield* Effect.promise(() => import("@ethereumjs/common"))
    const waiting = new Map<number, (blocks: number) => void>()
    const ready = yield* Deferred.make<InstanceType<typeof ETH>>()
    const rlpx = new RLPx(CLIENT_KEY, {
      clientId: Buffer.from("stock"),
      capabilities: [ETH.eth68],
      common: new Common({ chain: Mainnet, hardfork: Hardfork.Chainstart }),
      dpt: null,
      listenPort: null,
      timeout: TIMEOUT_MS,
    })
    rlpx.events.on("peer:added", (peer) => {
      const [eth] = peer.getProtocols()
      if (!(eth instanceof ETH)) return
      eth.events.on("message", (_code, [id, lists]) => {
        if (!(id instanceof Uint8Array) || !Array.isArray(lists)) return
        waiting.get(id[0]!)?.(lists.length)
      })
      eth.events.on("status", () => Effect.runSync(Deferred.succeed(ready, eth)))
      eth.sendStatus({ td: Uint8Array.of(1), bestHash: GENESIS, genesisHash: GENESIS })
    })
    rlpx.events.on("peer:error", (_peer, error) => console.error(error))
    const address = { id: nodeIdOf(SERVER_KEY), address: HOST, tcpPort: port, udpPort: null }
    yield* Effect.promise(() => rlpx.connect(address))
    const eth = yield* Deferred.await(ready)
    const ask: Ask = (n) =>
      Effect.async<number>((resume) => {
        // Four are open at once; ids from 1 to 100 never meet.
        const id = 1 + (n % 100)
        waiting.set(id, (blocks) => resume(Effect.succeed(blocks)))
        eth.sendMessage(0x0f, [Uint8Array.of(id), hashesOf(n)])
      })
    return ask
  })

/** Asks for `count` answers, four at a time. */
const transfer = (ask: Ask, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, n) => n),
    (n) =>
      Effect.filterOrDieMessage(ask(n), (blocks) => blocks === BLOCKS_PER_ANSWER, "a short answer"),
    { concurrency: IN_FLIGHT, discard: true },
  )

/** Runs one client; prints what it moved and what that cost. */
const measure = (ask: Ask, sizes: ReadonlyArray<number>, count: number) =>
  Effect.gen(function* () {
    yield* transfer(ask, Math.ceil(count / 2))
    const startedAt = performance.now()
    const before = process.cpuUsage()
    yield* transfer(ask, count)
    const { user, system } = process.cpuUsage(before)
    const seconds = (performance.now() - startedAt) / 1_000
    let bytes = 0
    for (let n = 0; n < count; n++) bytes += sizes[n % ANSWERS]!
    const cpuSeconds = (user + system) / 1e6
    console.log(JSON.stringify({ bytes, blocks: count * BLOCKS_PER_ANSWER, cpuSeconds, seconds }))
    process.exit(0)
  })

/** Opens a client by its role. */
const open = (role: string, port: number) =>
  role === "ours" ? Effect.orDie(ours(port)) : stock(port)

const [role = "", port = "0", sizes = "[]", count = "1"] = process.argv.slice(2)
const answerBytes: ReadonlyArray<number> = JSON.parse(sizes)
await Effect.runPromise(
  Effect.scoped(
    role === "server"
      ? server
      : Effect.flatMap(open(role, Number(port)), (ask) => measure(ask, answerBytes, Number(count))),
  ),
)
