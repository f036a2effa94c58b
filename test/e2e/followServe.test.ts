/**
 * Following and serving at once, as a user runs it, with viem as the client: whoever was told of the
 * chain by filters and subscriptions through reorganisations holds exactly what is served.
 */
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { type Input, RLP } from "@ethereumjs/rlp"
import {
  BlockNotFoundError,
  createPublicClient,
  formatLog,
  http,
  keccak256,
  type Log,
  type PublicClient,
  toHex,
  TransactionReceiptNotFoundError,
  webSocket,
} from "viem"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { generateChain, generateFork } from "../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { SocketClient } from "../rpc/server/support.ts"
import {
  digestOf,
  type Follower,
  type LiveDevnet,
  startFollower,
  startLiveDevnet,
  until,
} from "../support/liveDevnet.ts"
import { run } from "../support/program.ts"
import { ToldHeads, ToldLogs } from "../support/toldChain.ts"

/** The first block that the branches do not share; what each of them reaches. */
const FORK_AT = 151
const BLOCKS = 220
const SHAPE = { blocks: BLOCKS, shape: "light", seed: 1 } as const
const main = generateChain(SHAPE)
const fork = generateFork(main, FORK_AT, { ...SHAPE, seed: 2 })
const branches = { main, fork } as const
type Branch = keyof typeof branches

const hashOf = (chain: ServedChain, number: number): `0x${string}` => toHex(chain.hashAt(number)!)
const hashesOf = (chain: ServedChain, from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from + 1 }, (_, at) => hashOf(chain, from + at))

const items = (bytes: Input): ReadonlyArray<Input> => {
  const decoded = bytes instanceof Uint8Array ? RLP.decode(bytes) : bytes
  return Array.isArray(decoded) ? decoded : assert.fail("no list")
}
const hex = (item: Input | undefined): `0x${string}` =>
  item instanceof Uint8Array ? toHex(item) : assert.fail("no bytes")

/** The logs of a chain's blocks as viem shows them, by a decoder that is not the program's. */
const logsOf = (chain: ServedChain, from: number, to: number): ReadonlyArray<Log> =>
  Array.from({ length: to - from + 1 }, (_, at) => blockLogs(chain, from + at)).flat()

const blockLogs = (chain: ServedChain, number: number): ReadonlyArray<Log> => {
  const blockTimestamp = BigInt(hex(items(chain.headerAt(number))[11]))
  const transactions = items(items(chain.bodyAt(number))[0]).map((item) =>
    keccak256(item instanceof Uint8Array ? item : RLP.encode(item)),
  )
  const found: Array<Log> = []
  for (const [transactionIndex, receipt] of items(chain.receipts69At(number)).entries()) {
    for (const log of items(items(receipt).at(-1))) {
      const [address, topics, data] = items(log)
      const [first, ...rest] = items(topics).map(hex)
      found.push({
        address: hex(address),
        topics: first === undefined ? [] : [first, ...rest],
        data: hex(data),
        blockHash: hashOf(chain, number),
        blockNumber: BigInt(number),
        blockTimestamp,
        transactionHash: transactions[transactionIndex]!,
        transactionIndex,
        logIndex: found.length,
        removed: false,
      })
    }
  }
  return found
}

/** Where `sync --serve` listens. */
const urlOf = async (follower: Follower): Promise<string> => {
  const found = () => /served at (http:\/\/\S+)/u.exec(follower.said())?.[1]
  await until("it serves", async () => found() !== undefined)
  return found()!
}

/** One client's filters and subscriptions, polled and listened to until it is stopped. */
interface Told {
  readonly filterLogs: ToldLogs
  readonly filterHeads: ToldHeads
  readonly heads: ToldHeads
  readonly logs: ToldLogs
  /** Logs by viem's own subscription. */
  readonly watched: ToldLogs
  /** What the connection with `heads` and `logs` was told, in its order. */
  readonly order: Array<"head" | "added" | "removed">
  /** What did not fit to what was told before, or failed. */
  readonly faults: ReadonlyArray<string>
  readonly stop: () => Promise<void>
}

const listen = async (url: string, at: number, hash: string): Promise<Told> => {
  const polling = createPublicClient({ transport: http(url), cacheTime: 0 })
  const socket = createPublicClient({
    transport: webSocket(url.replace("http", "ws"), { reconnect: false }),
  })
  const faults: Array<string> = []
  const order: Told["order"] = []
  const checked = (take: () => void): void => {
    try {
      take()
    } catch (error) {
      faults.push(String(error))
    }
  }
  const told = {
    filterLogs: new ToldLogs(),
    filterHeads: new ToldHeads(at, hash),
    heads: new ToldHeads(at, hash),
    logs: new ToldLogs(),
    watched: new ToldLogs(),
  }
  const onError = (error: unknown): void => void faults.push(String(error))
  const subscribed = [
    await socket.transport.subscribe({
      params: ["newHeads"],
      onData: ({ result }) => {
        order.push("head")
        checked(() => told.heads.take({ ...result, number: Number(result.number) }))
      },
      onError,
    }),
    await socket.transport.subscribe({
      params: ["logs", {}],
      onData: ({ result }) => {
        order.push(result.removed === true ? "removed" : "added")
        checked(() => told.logs.take(formatLog(result)))
      },
      onError,
    }),
  ]
  const unwatch = socket.watchEvent({
    onLogs: (logs) => logs.forEach((log) => checked(() => told.watched.take(log))),
    onError,
  })
  const filter = await polling.createEventFilter()
  const blockFilter = await polling.createBlockFilter()
  const stopping = new AbortController()
  const poll = async (): Promise<void> => {
    for (const log of await polling.getFilterChanges({ filter })) {
      checked(() => told.filterLogs.take(log))
    }
    for (const blockHash of await polling.getFilterChanges({ filter: blockFilter })) {
      const number = numberOf(blockHash)
      checked(() => told.filterHeads.take({ number, hash: blockHash }))
    }
    const served = await polling.getLogs({ fromBlock: BigInt(FORK_AT - 1), toBlock: "latest" })
    checked(() => assertOneBranch(served))
  }
  const polled = (async () => {
    while (!stopping.signal.aborted) {
      await poll()
      await new Promise((resolve) => setTimeout(resolve, 40))
    }
  })().catch(onError)
  const stop = async (): Promise<void> => {
    stopping.abort()
    await polled
    unwatch()
    await Promise.all(subscribed.map(async ({ unsubscribe }) => unsubscribe()))
    assert.isTrue(await polling.uninstallFilter({ filter }))
    assert.isTrue(await polling.uninstallFilter({ filter: blockFilter }))
    ;(await socket.transport.getRpcClient()).close()
  }
  return { ...told, order, faults, stop }
}

const numbers = new Map(
  Object.values(branches).flatMap((chain) =>
    chain.numbers.map((number) => [hashOf(chain, number) as string, number] as const),
  ),
)
const numberOf = (hash: string): number => numbers.get(hash) ?? assert.fail(`no block ${hash}`)

/** One answer is of one chain. */
const assertOneBranch = (logs: ReadonlyArray<Log>): void => {
  const own = Object.values(branches).filter((chain) =>
    logs.every(({ blockHash, blockNumber }) => blockHash === hashOf(chain, Number(blockNumber))),
  )
  if (own.length === 0) throw new Error("an answer has logs of both branches")
}

/** All that is served is this branch up to this block, and nothing of the other one. */
const assertServed = async (
  client: PublicClient,
  from: number,
  to: number,
  branch: Branch,
): Promise<void> => {
  const chain = branches[branch]
  const loser = branches[branch === "main" ? "fork" : "main"]
  const range = { fromBlock: BigInt(from), toBlock: BigInt(to) }
  assert.strictEqual(await client.getBlockNumber({ cacheTime: 0 }), BigInt(to))
  const blocks = await Promise.all(
    Array.from({ length: to - from + 1 }, async (_, at) =>
      client.getBlock({ blockNumber: BigInt(from + at) }),
    ),
  )
  assert.deepEqual(
    blocks.map(({ hash }) => hash),
    hashesOf(chain, from, to),
  )
  assert.deepEqual(texts(await client.getLogs(range)), texts(logsOf(chain, from, to)))
  for (const number of [FORK_AT, to]) {
    const gone = client.getBlock({ blockHash: hashOf(loser, number) })
    assert.instanceOf(await gone.catch((error: unknown) => error), BlockNotFoundError)
    const { transactionHash } = blockLogs(loser, number)[0]!
    const receipt = client.getTransactionReceipt({ hash: transactionHash! })
    assert.instanceOf(
      await receipt.catch((error: unknown) => error),
      TransactionReceiptNotFoundError,
    )
  }
}

/** Every field, whatever their order: texts of thousands of logs are compared in no time. */
const texts = (logs: ReadonlyArray<Log>): ReadonlyArray<string> =>
  logs.map((log) =>
    JSON.stringify(
      Object.entries(log).sort(([a], [b]) => (a < b ? -1 : 1)),
      plain,
    ),
  )

const plain = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? String(value) : value

/** What a sync that serves tells Prometheus from its start on. */
const METRICS = [
  "annals_build_info gauge",
  "annals_blocks_fetched_total counter",
  "annals_blocks_checked_total counter",
  "annals_blocks_written_total counter",
  "annals_dials_total counter",
  "annals_requests_total counter",
  "annals_request_seconds histogram",
  "annals_sync_phase gauge",
  "annals_reorgs_total counter",
  "annals_store_blocks gauge",
]
/** What it tells once there are peers, work and calls. */
const LATER_METRICS = [
  ...METRICS,
  "annals_peers gauge",
  "annals_queue_items gauge",
  "annals_held_bytes gauge",
  "annals_head_block gauge",
  "annals_blocks_behind gauge",
  "annals_rpc_calls_total counter",
  "annals_rpc_call_seconds histogram",
  "annals_rpc_response_bytes_total counter",
]

describe("a run that follows and serves", () => {
  let scratch = ""
  let devnet: LiveDevnet
  let follower: Follower
  /** All that were started: a test that fails leaves its own running. */
  const followers: Array<Follower> = []
  let url = ""
  let client: PublicClient
  let told: Told
  let branch: Branch = "main"

  beforeAll(async () => {
    scratch = mkdtempSync(path.join(os.tmpdir(), "annals-follow-serve-"))
    devnet = await startLiveDevnet(4, [
      `--generate=${BLOCKS}`,
      "--shape=light",
      `--head=${FORK_AT - 1}`,
      `--fork-at=${FORK_AT}`,
      "--latency-ms=5",
    ])
  })

  afterAll(async () => {
    for (const one of followers) one.kill("SIGKILL")
    await Promise.all(followers.map(({ outcome }) => outcome))
    await devnet.stop()
    rmSync(scratch, { recursive: true })
  })

  const serveNow = async (): Promise<void> => {
    follower = startFollower(path.join(scratch, "store"), [
      ...devnet.peerFlags,
      "--tables=all",
      "--min-peers=4",
      "--follow-every-ms=100",
      "--serve",
      "--http-port=0",
    ])
    followers.push(follower)
    url = await urlOf(follower)
    client = createPublicClient({ transport: http(url, { batch: true }) })
  }

  const page = async (
    name: string,
  ): Promise<{ readonly status: number; readonly text: string }> => {
    const response = await fetch(`${url}/${name}`)
    return { status: response.status, text: await response.text() }
  }

  /** Reorganisations that the sync has counted. */
  const reorgs = async (): Promise<number> =>
    Number(/^annals_reorgs_total (\d+)$/mu.exec((await page("metrics")).text)?.[1])

  /** Waits until all were told of this head, and holds what they were told against what is served. */
  const settled = async (head: number): Promise<void> => {
    const chain = branches[branch]
    const hash = hashOf(chain, head)
    const last = blockLogs(chain, head).at(-1)!
    const { heads, filterHeads, logs, filterLogs, watched } = told
    await until(`all are told of ${head}@${branch}; ${follower.said()}`, async () => {
      const logsAreThere = [logs, filterLogs, watched].every(
        ({ logs }) => logs.at(-1)?.transactionHash === last.transactionHash,
      )
      const headsAreThere = [heads, filterHeads].every(({ hashes }) => hashes.at(-1) === hash)
      return told.faults.length > 0 || (logsAreThere && headsAreThere)
    })
    assert.deepEqual(told.faults, [])
    await assertServed(client, FORK_AT - 20, head, branch)
    const served = texts(await client.getLogs({ fromBlock: BigInt(FORK_AT), toBlock: "latest" }))
    for (const one of [logs, filterLogs, watched]) assert.deepEqual(texts(one.logs), served)
    const hashes = hashesOf(chain, FORK_AT, head)
    for (const one of [heads, filterHeads]) assert.deepEqual(one.hashes, hashes)
  }

  /** Moves all peers to a block of a branch and waits until it is told and served. */
  const moveTo = async (head: number, to: Branch, peers = ""): Promise<void> => {
    await devnet.tell(`${peers} head ${head} ${to}`.trim())
    branch = to
    await settled(head)
  }

  /** Goes over to the other branch: what was told meanwhile is the losers and the winners, once each. */
  const reorganise = async (depth: number, head: number): Promise<void> => {
    const { heads, filterHeads, logs, filterLogs, watched, order } = told
    const loser = branches[branch]
    const winner = branch === "main" ? "fork" : "main"
    const losers = texts(logsOf(loser, FORK_AT, FORK_AT + depth - 1)).toSorted()
    assert.strictEqual(heads.hashes.length, depth)
    const toldHeads = [heads, filterHeads].map(({ told }) => told.length)
    const removed = [logs, filterLogs, watched].map((one) => one.removed.length)
    const began = order.length
    await moveTo(head, winner)
    for (const [at, { told }] of [heads, filterHeads].entries()) {
      assert.deepEqual(told.slice(toldHeads[at]), hashesOf(branches[winner], FORK_AT, head))
    }
    for (const [at, one] of [logs, filterLogs, watched].entries()) {
      assert.deepEqual(texts(one.removed.slice(removed[at])).toSorted(), losers)
    }
    const during = order.slice(began)
    assert.isBelow(during.lastIndexOf("removed"), during.indexOf("head"), "the losers go first")
    assert.isBelow(during.indexOf("head"), during.indexOf("added"))
  }

  it("is not ready before it has caught up, and tells its metrics all the while", async () => {
    await serveNow()
    const before = await page("ready")
    assert.strictEqual(before.status, 503, before.text)
    const during = await page("metrics")
    for (const family of METRICS) assert.include(during.text, `# TYPE ${family}\n`)
    let last = before
    await until("it is ready", async () => {
      last = await page("ready")
      return last.status === 200
    })
    assert.strictEqual(last.text, "ready\n")
    assert.isAtLeast(Number(await client.getBlockNumber({ cacheTime: 0 })), FORK_AT - 1 - 2)
    await until("it is at the head", async () => {
      return (await client.getBlockNumber({ cacheTime: 0 })) === BigInt(FORK_AT - 1)
    })
    const after = await page("metrics")
    for (const family of LATER_METRICS) assert.include(after.text, `# TYPE ${family}\n`)
    assert.include(after.text, 'annals_sync_phase{phase="following"} 1\n')
    assert.include(after.text, `annals_blocks_written_total ${FORK_AT}\n`)
    assert.include(after.text, "annals_blocks_behind 0\n")
    told = await listen(url, FORK_AT - 1, hashOf(main, FORK_AT - 1))
  })

  it("tells of reorganisations of 1 and 2 blocks exactly what is served then", async () => {
    await moveTo(FORK_AT, "main")
    await reorganise(1, FORK_AT + 1)
    await reorganise(2, FORK_AT + 2)
    assert.strictEqual(await reorgs(), 2)
  })

  it("serves and tells nothing of a single lying peer's longer chain", async () => {
    const heads = told.heads.told.length
    const removed = told.logs.removed.length
    await devnet.tell(`peers 0 head ${BLOCKS} fork`)
    await moveTo(FORK_AT + 3, "main", "peers 1-3")
    await moveTo(FORK_AT + 4, "main", "peers 1-3")
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    await settled(FORK_AT + 4)
    assert.strictEqual(told.heads.told.length, heads + 2)
    assert.strictEqual(told.logs.removed.length, removed)
    assert.strictEqual(await reorgs(), 2)
    await devnet.tell(`peers 0 head ${FORK_AT + 4} main`)
  })

  it("is not ready while its peers go on and disagree, and is again when they agree", async () => {
    const heads = told.heads.told.length
    const head = FORK_AT + 12
    await devnet.tell(`peers 0-1 head ${head} fork`)
    await devnet.tell(`peers 2-3 head ${head} main`)
    await until("it is behind", async () => (await page("ready")).status === 503)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    assert.deepEqual(await page("ready"), {
      status: 503,
      text: "not ready: 8 blocks behind the head\n",
    })
    assert.strictEqual((await page("health")).status, 200)
    assert.strictEqual(told.heads.told.length, heads)
    await moveTo(head, "main")
    await until("it is ready", async () => (await page("ready")).status === 200)
  })

  it("loses nobody while the branches take turns faster than anybody is told", async () => {
    const before = await reorgs()
    const ends = [
      [24, "fork"],
      [42, "main"],
      [60, "fork"],
      [61, "main"],
    ] as const
    let above = 4
    for (const [end, to] of ends) {
      while ((above += 2) < end) {
        await devnet.tell(`head ${FORK_AT + above} ${above % 4 === 0 ? "fork" : "main"}`)
        await new Promise((resolve) => setTimeout(resolve, 40 + ((above * 37) % 100)))
      }
      await moveTo(FORK_AT + end, to)
      above = end
    }
    assert.isAtLeast(await reorgs(), before + ends.length)
  })

  it("tells of reorganisations of 63 and 64 blocks, too", async () => {
    const before = await reorgs()
    await moveTo(FORK_AT + 62, "main")
    await reorganise(63, FORK_AT + 63)
    await reorganise(64, FORK_AT + 64)
    assert.strictEqual(await reorgs(), before + 2)
  })

  it("ends all within ten seconds of a signal, clients or not", async () => {
    await told.stop()
    const { code } = await run(["verify", "--json", `--data-dir=${follower.directory}`])
    assert.strictEqual(code, 0)
    const listener = new SocketClient(url)
    await listener.opened
    await listener.call("eth_subscribe", "logs", {})
    await listener.call("eth_newFilter", {})
    const began = Date.now()
    follower.kill("SIGTERM")
    assert.strictEqual(await listener.closed, 1001)
    const { code: ended } = await follower.outcome
    assert.strictEqual(ended, 143, follower.said())
    assert.isBelow(Date.now() - began, 10_000)
    assert.isUndefined(await fetch(`${url}/health`).catch(() => undefined))
  })

  it("ends with 5 and its server in order when 65 blocks would go, the store as it was", async () => {
    await serveNow()
    const head = FORK_AT + 64
    await until("it is ready", async () => (await page("ready")).status === 200)
    const listener = new SocketClient(url)
    await listener.opened
    await listener.call("eth_subscribe", "newHeads")
    await listener.call("eth_subscribe", "logs", {})
    await assertServed(client, FORK_AT, head, "main")
    const before = await digestOf(follower.directory)
    await devnet.tell(`head ${head + 1} fork`)
    assert.strictEqual(await listener.closed, 1001)
    const { code, stderr } = await follower.outcome
    assert.strictEqual(code, 5, stderr)
    assert.match(stderr, new RegExp(`more than 64 blocks below block ${head}`, "u"))
    assert.deepEqual(listener.told, [])
    assert.strictEqual(await digestOf(follower.directory), before)
  })
})
