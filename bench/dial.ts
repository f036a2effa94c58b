/**
 * The processes of the dial benchmark: `listeners` and `client`. The runner, `dial.mjs`, starts them.
 *
 * The client first counts what one handshake and one recovered sender cost it, then dials as fast as
 * it can, then probes without dialling, then probes while it dials. A dial is a whole one: connect,
 * handshake, hello, Status, and goodbye.
 *
 * A stall is the time that the main thread took to come back to a timer of a millisecond, by the
 * clock and in processor time: only the latter says something on a machine that others use too. It
 * is that of the whole process, helpers of the garbage collector included.
 */
import { randomBytes } from "node:crypto"
import { Effect, Exit, FiberSet, Layer } from "effect"
import { isEnodeInvalid, parseEnode } from "../src/chain/enode.ts"
import type { ProbeOptions } from "../src/cli/syncOptions.ts"
import { fromHex } from "../src/domain/hex.ts"
import { isNative } from "../src/domain/secp256k1.ts"
import { recoverSender } from "../src/domain/signature.ts"
import { readTransaction } from "../src/domain/transactions.ts"
import { runProbe } from "../src/modes/probe.ts"
import { Stop } from "../src/observe/Stop.ts"
import { Terminal } from "../src/observe/Terminal.ts"
import { defaults } from "../src/Settings.ts"
import type { Status } from "../src/wire/ethMessages.ts"
import { initiate, nodeIdOf, respond } from "../src/wire/handshake.ts"
import { listen } from "../src/wire/Listener.ts"
import { openSession, type PeerAddress, type SessionOptions } from "../src/wire/Session.ts"
import { tuneEngine } from "../src/wire/tuneEngine.ts"

const HOST = "127.0.0.1"
const LISTENERS = 20
const MOST_IN_A_TURN = 10
const WARM_UP_MS = 2_500
const GENESIS = fromHex("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3")

/** What the runner wants of a client. */
interface Plan {
  /** Enodes of peers that serve a generated chain. */
  readonly enodes: ReadonlyArray<string>
  /** Blocks above genesis that they serve. */
  readonly blocks: number
  readonly listeners: ReadonlyArray<{ readonly port: number; readonly key: string }>
  readonly dialsPerSecond: number
  readonly countMs: number
  readonly aloneMs: number
  readonly dialMs: number
  readonly mostMs: number
}

const status: Status = {
  version: 69,
  networkId: 1n,
  genesisHash: GENESIS,
  forkHash: fromHex("fc64ec04"),
  forkNext: 1_150_000n,
  earliestBlock: 0,
  latestBlock: 0,
  latestBlockHash: GENESIS,
}

const optionsOf = (privateKey: Uint8Array): SessionOptions => ({
  privateKey,
  clientId: "annals/bench",
  listenPort: 0,
  ethVersions: [69],
  localStatus: () => status,
  checkStatus: () => undefined,
})

/** Accepts everybody until it is killed; prints where, and with which keys. */
const listeners = Effect.gen(function* () {
  const keys = Array.from({ length: LISTENERS }, () => randomBytes(32))
  const ports = yield* Effect.forEach(keys, (key) =>
    listen({ host: HOST, port: 0, maxOpening: 1_000 }, optionsOf(key), (session) => session.closed),
  )
  console.log(JSON.stringify(ports.map(({ port }, i) => ({ port, key: keys[i]!.toString("hex") }))))
  return yield* Effect.never
})

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** Processor time of one handshake at either side, without a socket. */
const countHandshakes = async (forMs: number) => {
  const [ours, theirs] = [randomBytes(32), randomBytes(32)]
  const [ourId, theirId] = [nodeIdOf(ours), nodeIdOf(theirs)]
  let initiator = 0
  let recipient = 0
  let count = 0
  const endsAt = performance.now() + forMs
  // The first ones are slow: code is compiled, tables are made.
  for (let round = -20; round <= 0 || performance.now() < endsAt; round++) {
    if (round === 0) [initiator, recipient, count] = [0, 0, 0]
    const startMs = cpuMs()
    const dialling = await initiate(ours, ourId, theirId)
    const dialledMs = cpuMs()
    const answered = (await respond(theirs, theirId)).push(dialling.first!)!
    const answeredMs = cpuMs()
    if (dialling.push(answered.reply!) === undefined) throw new Error("no handshake")
    initiator += cpuMs() - answeredMs + dialledMs - startMs
    recipient += answeredMs - dialledMs
    count += 1
  }
  return { initiator: initiator / count, recipient: recipient / count }
}

/** The example of EIP-155. */
const TRANSACTION = fromHex(
  "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025" +
    "a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276" +
    "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83",
)

/** Processor time of one sender. */
const countSenders = (forMs: number): number => {
  const transaction = readTransaction(TRANSACTION)!
  let count = 0
  const endsAt = performance.now() + forMs
  const startMs = cpuMs()
  for (; performance.now() < endsAt; count++) {
    if (recoverSender(transaction) === undefined) throw new Error("no sender")
  }
  return (cpuMs() - startMs) / count
}

/** Probes the whole chain over and over; `done` is told of each time how fast it was. */
const probeAgain = (plan: Plan, done: (blocksPerSecond: number) => void) => {
  const peers = plan.enodes.map((text) => {
    const enode = parseEnode(text)
    if (isEnodeInvalid(enode)) throw new Error(`no enode: ${text}`)
    return enode
  })
  const options: ProbeOptions = {
    network: "devnet",
    peers,
    discovery: { enabled: false, bootnodes: undefined, dnsTrees: undefined },
    peerCache: undefined,
    maxPeers: peers.length,
    minPeers: peers.length,
    maxConcurrentDials: peers.length,
    port: undefined,
    maxOutbound: 400,
    maxInbound: 200,
    startBlock: 1,
    endBlock: plan.blocks,
    blocksPerAssignment: defaults.blocksPerAssignment,
    timeoutMs: defaults.requestTimeoutMs,
    rollbackWindow: 0,
    giveUpMs: 5_000,
    receiptsPerRequest: defaults.receiptsPerRequest,
  }
  const terminal = Terminal.layerWith({
    stdout: {
      write: (text) => {
        const summary: { complete: boolean; performance: { blocks_per_sec: number } } =
          JSON.parse(text)
        if (summary.complete) done(summary.performance.blocks_per_sec)
      },
    },
    stderr: { write: () => true },
    environment: {},
  })
  return runProbe(options).pipe(
    Effect.provide(Layer.mergeAll(Stop.layerMemory, terminal)),
    Effect.forever,
  )
}

/** Comes by every millisecond; gives the way to stop, which tells how long that took at worst. */
const watchTurns = () => {
  const byClock: Array<number> = []
  const byCpu: Array<number> = []
  let [lastMs, lastCpuMs] = [performance.now(), cpuMs()]
  const timer = setInterval(() => {
    const [nowMs, nowCpuMs] = [performance.now(), cpuMs()]
    byClock.push(nowMs - lastMs)
    byCpu.push(nowCpuMs - lastCpuMs)
    lastMs = nowMs
    lastCpuMs = nowCpuMs
  }, 1)
  return () => {
    clearInterval(timer)
    return {
      longest_stall_ms: Math.max(...byClock),
      p99_stall_ms: quantile(byClock, 0.99),
      longest_stall_cpu_ms: Math.max(...byCpu),
      p99_stall_cpu_ms: quantile(byCpu, 0.99),
    }
  }
}

const quantile = (values: ReadonlyArray<number>, part: number): number | null =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * part)] ?? null

/** Runs `load` beside a probe for a while; how the main thread and the probe fared. */
const besideProbe = <A>(plan: Plan, forMs: number, load: Effect.Effect<A>) =>
  Effect.gen(function* () {
    const speeds: Array<number> = []
    const probe = yield* Effect.forkScoped(
      probeAgain(plan, (blocksPerSecond) => speeds.push(blocksPerSecond)),
    )
    // The probe's own first connections and its warming up are not what is asked about.
    yield* Effect.sleep(20).pipe(
      Effect.repeat({ until: () => speeds.length > 0 }),
      Effect.timeoutOption(WARM_UP_MS),
    )
    speeds.length = 0
    const startCpuMs = cpuMs()
    const watch = watchTurns()
    const [result] = yield* Effect.all([load, Effect.sleep(forMs)], { concurrency: 2 })
    const turns = watch()
    const usedMs = cpuMs() - startCpuMs
    const failed = probe.unsafePoll()
    if (failed !== null) throw new Error(`the probe ended: ${String(failed)}`)
    return {
      result,
      main_thread: {
        ...turns,
        cpu_share: usedMs / forMs,
        probe_blocks_per_sec: quantile(speeds, 0.5),
      },
    }
  }).pipe(Effect.scoped)

/** Counts dials and how they went. */
const makeDialer = ({ listeners }: Plan) => {
  const options = optionsOf(randomBytes(32))
  const addresses: ReadonlyArray<PeerAddress> = listeners.map(({ port, key }) => ({
    host: HOST,
    port,
    nodeId: nodeIdOf(fromHex(key)),
  }))
  const counts = { dialled: 0, opened: 0, failed: 0 }
  const openMs: Array<number> = []
  const dial = Effect.suspend(() => {
    const startMs = performance.now()
    const address = addresses[counts.dialled++ % addresses.length]!
    return openSession(address, options).pipe(
      Effect.scoped,
      Effect.exit,
      Effect.map((exit) => {
        if (Exit.isSuccess(exit)) counts.opened += 1
        else counts.failed += 1
        openMs.push(performance.now() - startMs)
      }),
    )
  })
  return { dial, counts, openMs }
}

/** Starts `perSecond` dials a second, evenly, whether earlier ones are through or not. */
const dialSteadily = (plan: Plan) =>
  Effect.gen(function* () {
    const { dial, counts, openMs } = makeDialer(plan)
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    const startMs = performance.now()
    for (;;) {
      const elapsedMs = performance.now() - startMs
      if (elapsedMs >= plan.dialMs) break
      const due = Math.floor((elapsedMs / 1_000) * plan.dialsPerSecond) - counts.dialled
      // What a stall held up is made up for, so that the rate holds, but not all in one go.
      for (let i = 0; i < Math.min(due, MOST_IN_A_TURN); i++) run(dial)
      yield* Effect.sleep(1_000 / plan.dialsPerSecond)
    }
    const { dialled, opened, failed } = counts
    return {
      dialled,
      opened,
      failed,
      handshakes_per_sec: opened / (plan.dialMs / 1_000),
      open_ms_p50: quantile(openMs, 0.5),
    }
  }).pipe(Effect.scoped)

/** Dials with twenty at a time. */
const dialFast = (plan: Plan) =>
  Effect.gen(function* () {
    const { dial, counts } = makeDialer(plan)
    const startCpuMs = cpuMs()
    const endsAt = performance.now() + plan.mostMs
    const one = Effect.repeat(dial, { while: () => performance.now() < endsAt })
    yield* Effect.all(
      Array.from({ length: 20 }, () => one),
      { concurrency: "unbounded", discard: true },
    )
    if (counts.failed > 0) throw new Error(`${counts.failed} dials failed`)
    return {
      most_handshakes_per_sec: counts.opened / (plan.mostMs / 1_000),
      cpu_ms_per_dial: (cpuMs() - startCpuMs) / counts.opened,
    }
  })

/** Carries a plan out; prints what came of it. */
const client = (plan: Plan) =>
  Effect.gen(function* () {
    tuneEngine()
    const handshake = yield* Effect.promise(() => countHandshakes(plan.countMs))
    const recoverMs = countSenders(plan.countMs / 4)
    const most = yield* dialFast(plan)
    const alone = yield* besideProbe(plan, plan.aloneMs, Effect.void)
    const dialling = yield* besideProbe(plan, plan.dialMs, dialSteadily(plan))
    console.log(
      JSON.stringify({
        curve: isNative ? "native" : "noble",
        handshake_cpu_ms: handshake,
        recover_cpu_ms: recoverMs,
        ...most,
        probe_alone: alone.main_thread,
        probe_and_dials: { ...dialling.result, ...dialling.main_thread },
      }),
    )
    process.exit(0)
  })

const [role = "", plan = "{}"] = process.argv.slice(2)
await Effect.runPromise(Effect.scoped(role === "listeners" ? listeners : client(JSON.parse(plan))))
