/** Following the head as a user runs it: processes, real connections on loopback, a real store. */
import { mkdtempSync, rmSync, statSync } from "node:fs"
import http from "node:http"
import type { AddressInfo } from "node:net"
import os from "node:os"
import path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { generateChain, generateFork } from "../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { toHex } from "../../src/domain/hex.ts"
import {
  digestOf,
  type Follower,
  type LiveDevnet,
  rowsOf,
  startFollower,
  tipOf,
  until,
  untilTip,
  withLiveDevnet,
} from "../support/liveDevnet.ts"
import { run } from "../support/program.ts"

const BLOCKS = 140
const HEAD = 100
const SHAPE = { blocks: BLOCKS, shape: "light", seed: 1 } as const
const main = generateChain(SHAPE)

/** The second branch, as `annals devnet --fork-at` makes it. */
const forkAt = (first: number): ServedChain => generateFork(main, first, { ...SHAPE, seed: 2 })
const devnetArgs = (first: number): ReadonlyArray<string> => [
  `--generate=${BLOCKS}`,
  "--shape=light",
  `--head=${HEAD}`,
  `--fork-at=${first}`,
]
const blockOf = (chain: ServedChain, number: number) => ({
  number,
  hash: toHex(chain.hashAt(number)!),
})

let scratch = ""
let stores = 0
beforeAll(() => {
  scratch = mkdtempSync(path.join(os.tmpdir(), "annals-follow-"))
})
afterAll(() => rmSync(scratch, { recursive: true }))
const newStore = (): string => path.join(scratch, `store-${(stores += 1)}`)

const verify = async (directory: string): Promise<void> => {
  const { code, stdout, stderr } = await run(["verify", "--json", `--data-dir=${directory}`])
  assert.strictEqual(code, 0, `${stdout}\n${stderr}`)
}

/** Stops a run in order. */
const stop = async (follower: Follower): Promise<void> => {
  follower.kill("SIGINT")
  const { code } = await follower.outcome
  assert.strictEqual(code, 130, follower.said())
}

/** Follows up to the devnet's head, hands the run to `use`, and stops it. */
const following = async (
  devnet: LiveDevnet,
  args: ReadonlyArray<string>,
  use: (follower: Follower) => Promise<void>,
): Promise<Follower> => {
  const follower = startFollower(newStore(), [...devnet.peerFlags, "--tables=all", ...args])
  try {
    await untilTip(follower, blockOf(main, HEAD))
    await use(follower)
    return follower
  } finally {
    follower.kill("SIGKILL")
    await follower.outcome
  }
}

const reorgsOf = (directory: string) =>
  rowsOf(
    directory,
    "SELECT from_block, to_block, lower(hex(old_hash)), lower(hex(new_hash)) FROM reorgs ORDER BY reorg_id",
  )

/** When the write-ahead log was written to; 0 while there is none. */
const loggedAtMs = (directory: string): number =>
  statSync(path.join(directory, "annals.db-wal"), { throwIfNoEntry: false })?.mtimeMs ?? 0

describe("a run that follows the head", () => {
  for (const depth of [1, 2, 63, 64]) {
    it(`goes through a reorganisation of ${depth} blocks`, async () => {
      const first = HEAD + 1 - depth
      const fork = forkAt(first)
      await withLiveDevnet(4, devnetArgs(first), async (devnet) => {
        const { directory } = await following(devnet, [], async (follower) => {
          await devnet.tell("head 105 fork")
          await untilTip(follower, blockOf(fork, 105))
          await devnet.tell("head 110")
          await untilTip(follower, blockOf(fork, 110))
          await stop(follower)
        })
        assert.deepStrictEqual(await reorgsOf(directory), [
          [first, HEAD, toHex(main.hashAt(HEAD)!), toHex(fork.hashAt(first)!)],
        ])
        const stored = await rowsOf(directory, "SELECT block_number, block_hash FROM blocks")
        assert.lengthOf(stored, 111)
        await verify(directory)
      })
    })
  }

  it("ends with 5 and leaves the store as it is when 65 blocks would go", async () => {
    const first = HEAD + 1 - 65
    await withLiveDevnet(4, devnetArgs(first), async (devnet) => {
      await following(devnet, [], async (follower) => {
        const before = await digestOf(follower.directory)
        await devnet.tell("head 120 fork")
        const { code, stderr } = await follower.outcome
        assert.strictEqual(code, 5, stderr)
        assert.match(stderr, /more than 64 blocks below block 100/u)
        assert.strictEqual(await digestOf(follower.directory), before)
        await verify(follower.directory)
      })
    })
  })

  it("is not moved by one peer with a longer chain, be it a deep one", async () => {
    await withLiveDevnet(4, devnetArgs(20), async (devnet) => {
      await following(devnet, ["--follow-every-ms=200"], async (follower) => {
        await devnet.tell("peers 0 head 140 fork")
        await devnet.tell("peers 1-3 head 101")
        await untilTip(follower, blockOf(main, 101))
        await devnet.tell("peers 1-3 head 103")
        await untilTip(follower, blockOf(main, 103))
        await new Promise((resolve) => setTimeout(resolve, 1_500))
        assert.deepStrictEqual(await tipOf(follower.directory), blockOf(main, 103))
        assert.deepStrictEqual(await reorgsOf(follower.directory), [])
        await stop(follower)
        await verify(follower.directory)
      })
    })
  })

  it("is not moved by a lone peer, says so, and is by one that is trusted", async () => {
    const fork = forkAt(95)
    await withLiveDevnet(1, devnetArgs(95), async (devnet) => {
      const lone = startFollower(newStore(), devnet.peerFlags)
      await until("it says that it waits", async () => lone.said().includes("one peer alone"))
      assert.deepStrictEqual((await tipOf(lone.directory))?.number, HEAD - 64)
      await stop(lone)
      const follower = startFollower(lone.directory, [`--trusted-peer=${devnet.enodes[0]!}`])
      await untilTip(follower, blockOf(main, HEAD))
      await devnet.tell("head 102 fork")
      await untilTip(follower, blockOf(fork, 102))
      await stop(follower)
      await verify(follower.directory)
    })
  })

  it("keeps the one branch or the other when it is killed in a reorganisation", async () => {
    const first = HEAD - 49
    const fork = forkAt(first)
    await withLiveDevnet(3, devnetArgs(first), async (devnet) => {
      const directory = newStore()
      const args = [...devnet.peerFlags, "--tables=all", "--follow-every-ms=100"]
      let chain = main
      let seen = 0
      // Some time after the word, and as soon as the write-ahead log is written to.
      for (const afterMs of [150, 350, "write", "write", "write", 500] as const) {
        const follower = startFollower(directory, args)
        await untilTip(follower, blockOf(chain, HEAD))
        const other = chain === main ? fork : main
        const before = loggedAtMs(directory)
        await devnet.tell(`head ${HEAD} ${chain === main ? "fork" : "main"}`)
        const endMs = Date.now() + (afterMs === "write" ? 5_000 : afterMs)
        for (;;) {
          if (Date.now() >= endMs) break
          if (afterMs === "write" && loggedAtMs(directory) !== before) break
          await new Promise((resolve) => setImmediate(resolve))
        }
        follower.kill("SIGKILL")
        await follower.outcome
        const tip = await tipOf(directory)
        const went = tip?.hash === toHex(other.hashAt(HEAD)!)
        assert.deepStrictEqual(tip, blockOf(went ? other : chain, HEAD))
        await verify(directory)
        seen += went ? 1 : 0
        assert.lengthOf(await reorgsOf(directory), seen)
        console.log(`killed at ${afterMs}: the ${went ? "new" : "old"} branch`)
        if (!went) seen += 1
        chain = other
      }
    })
  })

  it("replaces a branch that lost while it was away", async () => {
    const fork = forkAt(90)
    await withLiveDevnet(3, devnetArgs(90), async (devnet) => {
      const { directory } = await following(devnet, [], stop)
      await devnet.tell("head 130 fork")
      const again = startFollower(directory, [...devnet.peerFlags, "--tables=all"])
      await untilTip(again, blockOf(fork, 130))
      await stop(again)
      assert.deepStrictEqual(
        (await reorgsOf(directory)).map(([from, to]) => [from, to]),
        [[90, HEAD]],
      )
      await verify(directory)
    })
  })

  it("stays within two blocks of a head that moves five times a second", async () => {
    const args = ["--generate=160", "--shape=light", "--head=80", "--block-time-ms=200"]
    await withLiveDevnet(4, args, async (devnet) => {
      const follower = startFollower(newStore(), devnet.peerFlags)
      await until("it follows", async () => follower.said().includes("following the head"))
      const headNow = async () => Number(/at (\d+)@main/u.exec(await devnet.tell("where"))?.[1])
      const first = await headNow()
      await until(
        "it has caught up",
        async () => ((await tipOf(follower.directory))?.number ?? 0) >= first,
      )
      const behind: Array<number> = []
      while ((await headNow()) < 155) {
        const head = await headNow()
        behind.push(head - ((await tipOf(follower.directory))?.number ?? 0))
        await new Promise((resolve) => setTimeout(resolve, 60))
      }
      assert.isAtLeast(behind.length, 30)
      assert.isAtMost(Math.max(...behind), 2, behind.join(" "))
      console.log(`blocks behind, ${behind.length} looks: ${behind.join("")}`)
      await stop(follower)
    })
  })

  it("follows a chain that is shorter than the window, from a block above genesis", async () => {
    const args = ["--generate=140", "--shape=light", "--head=10"]
    await withLiveDevnet(3, args, async (devnet) => {
      const follower = startFollower(newStore(), [...devnet.peerFlags, "--start-block=4"])
      await untilTip(follower, blockOf(main, 10))
      await devnet.tell("head 12")
      await untilTip(follower, blockOf(main, 12))
      await stop(follower)
      const rows = await rowsOf(follower.directory, "SELECT min(block_number) FROM blocks")
      assert.deepStrictEqual(rows, [[4]])
      await verify(follower.directory)
    })
  })

  it("waits when all peers are gone, says so, and ends in order", async () => {
    await withLiveDevnet(3, devnetArgs(90), async (devnet) => {
      await following(devnet, ["--give-up-ms=1000"], async (follower) => {
        await devnet.stop()
        await until("it says so", async () => follower.said().includes("no peer is there"))
        assert.deepStrictEqual(await tipOf(follower.directory), blockOf(main, HEAD))
        follower.kill("SIGTERM")
        assert.strictEqual((await follower.outcome).code, 143)
      })
    })
  })
})

/** A node that says where the head is, in one of the two ways; `head` may be changed. */
const withTrustedNode = async (
  form: "execution" | "beacon",
  use: (node: {
    readonly url: string
    head: { readonly chain: ServedChain; readonly number: number }
  }) => Promise<void>,
): Promise<void> => {
  const node = { url: "", head: { chain: main, number: HEAD } }
  const numberOf = (tag: string): number =>
    node.head.number - (tag === "safe" ? 10 : tag === "finalized" ? 20 : 0)
  const hex = (number: number): string => `0x${toHex(node.head.chain.hashAt(number)!)}`
  const execution = (body: string): unknown => {
    const { method, params }: { method: string; params: Array<string> } = JSON.parse(body)
    if (method === "eth_chainId") return { jsonrpc: "2.0", id: 1, result: "0x539" }
    const number = numberOf(params[0]!)
    const result = { number: `0x${number.toString(16)}`, hash: hex(number) }
    return { jsonrpc: "2.0", id: 1, result }
  }
  // The roots of beacon blocks are the hashes with the first byte changed.
  const rootOf = (number: number): string => `0xee${hex(number).slice(4)}`
  const beacon = (url: string): unknown => {
    if (url === "/eth/v1/beacon/headers/head") return { data: { root: rootOf(node.head.number) } }
    if (url === "/eth/v1/beacon/states/head/finality_checkpoints") {
      const current_justified = { root: rootOf(numberOf("safe")) }
      return { data: { current_justified, finalized: { root: rootOf(numberOf("finalized")) } } }
    }
    for (let number = node.head.number; number >= 0; number--) {
      if (url !== `/eth/v2/beacon/blocks/${rootOf(number)}`) continue
      const execution_payload = { block_number: String(number), block_hash: hex(number) }
      return { data: { message: { body: { execution_payload } } } }
    }
    return undefined
  }
  const server = http.createServer((request, response) => {
    let body = ""
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on("end", () => {
      const posted = request.method === "POST"
      const answer =
        posted === (form === "execution")
          ? posted
            ? execution(body)
            : beacon(request.url ?? "")
          : undefined
      response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" })
      response.end(JSON.stringify(answer ?? { code: 404 }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server on TCP has such an address
  node.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    await use(node)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}

const metaOf = async (directory: string): Promise<Readonly<Record<string, string>>> =>
  Object.fromEntries(
    (await rowsOf(directory, "SELECT key, value FROM meta")).map(([key, value]) => [
      String(key),
      String(value),
    ]),
  )

describe("a run with a trusted head", () => {
  for (const form of ["execution", "beacon"] as const) {
    it(`follows what an ${form} client says, whatever the peers agree on`, async () => {
      const fork = forkAt(98)
      await withLiveDevnet(4, devnetArgs(98), async (devnet) => {
        await withTrustedNode(form, async (node) => {
          const follower = startFollower(newStore(), [
            ...devnet.peerFlags,
            `--trusted-head=${node.url}`,
            "--follow-every-ms=100",
          ])
          await untilTip(follower, blockOf(main, HEAD))
          await until("safe and finalized", async () => {
            const meta = await metaOf(follower.directory)
            return meta["safe_block"] === "90" && meta["finalized_block"] === "80"
          })
          // Three peers go another way, and one has it that the trusted node goes later.
          await devnet.tell("peers 0-2 head 110")
          await devnet.tell("peers 3 head 110 fork")
          await new Promise((resolve) => setTimeout(resolve, 800))
          assert.strictEqual((await tipOf(follower.directory))?.number, HEAD)
          node.head = { chain: fork, number: 108 }
          await untilTip(follower, blockOf(fork, 108))
          await until("they move on", async () => {
            const meta = await metaOf(follower.directory)
            return meta["safe_block"] === "98" && meta["finalized_block"] === "88"
          })
          await stop(follower)
          assert.deepStrictEqual(
            (await reorgsOf(follower.directory)).map(([from, to]) => [from, to]),
            [[98, HEAD]],
          )
          await verify(follower.directory)
        })
      })
    })
  }

  it("waits for one that does not answer, and says so once", async () => {
    await withLiveDevnet(3, devnetArgs(98), async (devnet) => {
      const follower = startFollower(newStore(), [
        ...devnet.peerFlags,
        "--trusted-head=http://127.0.0.1:2",
        "--follow-every-ms=100",
        "--timeout-ms=1000",
      ])
      await until("it says so", async () => follower.said().includes("does not answer"))
      await until("the history is there", async () => {
        return (await tipOf(follower.directory))?.number === HEAD - 64
      })
      await new Promise((resolve) => setTimeout(resolve, 700))
      assert.lengthOf(follower.said().split("does not answer"), 2)
      assert.strictEqual((await tipOf(follower.directory))?.number, HEAD - 64)
      await stop(follower)
    })
  })
})
