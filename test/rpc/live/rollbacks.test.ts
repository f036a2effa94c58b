/** Subscriptions over WebSocket while the chain is taken back: soon again, far, and to slow clients. */
import { afterEach, assert, beforeAll, describe, it } from "vitest"
import { generateChain, generateFork } from "../../../src/devnet/generatedChain.ts"
import { toHex0x } from "../../../src/domain/hex.ts"
import type { StoredBlock } from "../../../src/rpc/ChainReader.ts"
import { WINDOW_BLOCKS } from "../../../src/rpc/live/chainStep.ts"
import { LOOK_EVERY_MS } from "../../../src/rpc/live/ChainWatcher.ts"
import { logObject } from "../../../src/rpc/logObject.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { blockLogs, type MemoryChain, memoryChain } from "../memoryReader.ts"
import {
  eventually,
  type Notification,
  SocketClient,
  startServer,
  type TestServer,
  upFrom,
} from "../server/support.ts"

const FORK_AT = 151
const options = { shape: "light", seed: 1 } as const
let main: ReadonlyArray<StoredBlock> = []
/** Leave `main` above block 150. */
let second: ReadonlyArray<StoredBlock> = []
let third: ReadonlyArray<StoredBlock> = []

beforeAll(() => {
  const served = generateChain({ ...options, blocks: 290 })
  main = storedBlocks(served)
  second = storedBlocks(generateFork(served, FORK_AT, { ...options, seed: 2, blocks: 280 }))
  third = storedBlocks(generateFork(served, FORK_AT, { ...options, seed: 3, blocks: 285 }))
})

let chain: MemoryChain
let server: TestServer
let client: SocketClient

const start = async (head: number): Promise<void> => {
  chain = memoryChain(main.slice(0, head + 1))
  server = await startServer(chain.reader)
  client = new SocketClient(server.url)
  await client.opened
}

afterEach(async () => {
  client.socket.terminate()
  await server.stop()
})

const subscribe = async (...params: ReadonlyArray<unknown>): Promise<string> =>
  String((await client.call("eth_subscribe", ...params)).result)

const to = (blocks: ReadonlyArray<StoredBlock>, head: number): void =>
  chain.replace(upFrom(blocks.slice(0, head + 1), FORK_AT))

const looks = async (count: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, count * LOOK_EVERY_MS))

const textsOf = (blocks: ReadonlyArray<StoredBlock>): ReadonlyArray<string> =>
  blocks.flatMap((block) => blockLogs(block).map((log) => JSON.stringify(logObject(log, false))))

const toldTo = (id: string): ReadonlyArray<Notification["result"]> =>
  client.told.filter(({ subscription }) => subscription === id).map(({ result }) => result)

/**
 * The logs from the fork on that somebody has who knew the chain up to `knew` and does what he is
 * told: he takes back only what he has, and only of the newest block that he has logs of.
 */
const heldBy = (
  told: ReadonlyArray<Notification["result"]>,
  knew: number,
): ReadonlyArray<string> => {
  const held = main
    .slice(FORK_AT, knew + 1)
    .flatMap((block): Array<{ readonly block: unknown; readonly text: string }> =>
      textsOf([block]).map((text) => ({ block: toHex0x(block.hash), text })),
    )
  for (const { removed, ...log } of told) {
    const text = JSON.stringify({ ...log, removed: false })
    const { blockHash: block, blockNumber } = log
    if (removed !== true) {
      held.push({ block, text })
      continue
    }
    assert.strictEqual(held.at(-1)?.block, block, `block ${String(blockNumber)} is not the newest`)
    const at = held.findIndex((one) => one.text === text)
    assert.isAtLeast(at, 0, "taken back, and never told")
    held.splice(at, 1)
  }
  return held.map(({ text }) => text)
}

/** Waits until the chain that follows from what was told is `blocks`. */
const toldAllOf = async (
  id: string,
  knew: number,
  blocks: ReadonlyArray<StoredBlock>,
): Promise<void> => {
  const wanted = JSON.stringify(textsOf(blocks))
  let seen = -1
  await eventually(() => {
    const before = seen
    seen = client.told.length
    // Nothing came for a moment: what was told is looked through once, not after every message.
    return before === seen && JSON.stringify(heldBy(toldTo(id), knew)) === wanted
  })
}

const hashesTold = (id: string): ReadonlyArray<unknown> => toldTo(id).map(({ hash }) => hash)
const hashesOf = (blocks: ReadonlyArray<StoredBlock>): ReadonlyArray<string> =>
  blocks.map(({ hash }) => toHex0x(hash))
const removedOf = (id: string): ReadonlyArray<unknown> =>
  toldTo(id).filter(({ removed }) => removed === true)

describe("two reorganisations right after each other", () => {
  it("between two looks are told as one", async () => {
    await start(154)
    const [logs, heads] = [await subscribe("logs", {}), await subscribe("newHeads")]
    to(second, 156)
    to(third, 155)
    await toldAllOf(logs, 154, third.slice(FORK_AT, 156))
    assert.deepEqual(hashesTold(heads), hashesOf(third.slice(FORK_AT, 156)))
    assert.lengthOf(removedOf(logs), textsOf(main.slice(FORK_AT, 155)).length)
  })

  it("that lead back to the same branch are told as nothing, but for what is new", async () => {
    await start(154)
    const [logs, heads] = [await subscribe("logs", {}), await subscribe("newHeads")]
    to(second, 156)
    to(main, 155)
    await toldAllOf(logs, 154, main.slice(FORK_AT, 156))
    assert.deepEqual(hashesTold(heads), hashesOf(main.slice(155, 156)))
    assert.isEmpty(removedOf(logs))
  })

  it("with a look between them are told one after the other, newest block first", async () => {
    await start(154)
    const [logs, heads] = [await subscribe("logs", {}), await subscribe("newHeads")]
    to(second, 156)
    await toldAllOf(logs, 154, second.slice(FORK_AT, 157))
    to(third, 153)
    await toldAllOf(logs, 154, third.slice(FORK_AT, 154))
    to(main, 158)
    await toldAllOf(logs, 154, main.slice(FORK_AT, 159))
    assert.deepEqual(
      hashesTold(heads),
      hashesOf([
        ...second.slice(FORK_AT, 157),
        ...third.slice(FORK_AT, 154),
        ...main.slice(FORK_AT, 159),
      ]),
    )
  })

  it("and many more, at any moment, leave everyone with the chain that is", async () => {
    await start(154)
    const ids = [await subscribe("logs", {}), await subscribe("newHeads"), await subscribe("logs")]
    const branches = [second, third, main]
    for (let turn = 0; turn < 30; turn++) {
      to(branches[turn % 3]!, 152 + ((turn * 7) % 20))
      await new Promise((resolve) => setTimeout(resolve, (turn * 37) % 90))
    }
    to(third, 180)
    await toldAllOf(ids[0]!, 154, third.slice(FORK_AT, 181))
    await toldAllOf(ids[2]!, 154, third.slice(FORK_AT, 181))
    await eventually(() => hashesTold(ids[1]!).at(-1) === toHex0x(third[180]!.hash))
    // Each head stands on one that was told, or was there before.
    const known = new Set(hashesOf(main.slice(0, 155)))
    for (const { hash, parentHash } of toldTo(ids[1]!)) {
      assert.isTrue(known.has(String(parentHash)))
      known.add(String(hash))
    }
  })
})

const held = async (): Promise<number> => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(/^annals_rpc_held_bytes (\d+)$/m.exec(text)?.[1])
}

describe("a reorganisation while a subscriber reads slowly", () => {
  it("reaches him when he reads on, and meanwhile little is held for him", async () => {
    await start(FORK_AT)
    // Each is told the same: so what the system buffers is full before the second is told all.
    const ids: Array<string> = []
    for (let at = 0; at < 12; at++) ids.push(await subscribe("logs", {}))
    const heads = await subscribe("newHeads")
    client.socket.pause()
    chain.add(main.slice(FORK_AT + 1, 260))
    let most = 0
    await eventually(async () => (most = Math.max(most, await held())) > 1_000_000)
    for (const [branch, head] of [
      [second, 270],
      [third, 265],
      [second, 275],
    ] as const) {
      to(branch, head)
      await looks(2)
      most = Math.max(most, await held())
    }
    assert.isBelow(most, 1_100_000)
    client.socket.resume()
    for (const id of ids) await toldAllOf(id, FORK_AT, second.slice(FORK_AT, 276))
    await eventually(() => hashesTold(heads).at(-1) === toHex0x(second[275]!.hash))
    // Some were told the first branch and had to take it back, others never heard of it.
    assert.isNotEmpty(removedOf(ids[0]!))
    assert.isEmpty(
      removedOf(ids.at(-1)!).filter((log) => !textsOf([main[FORK_AT]!]).includes(added(log))),
    )
    await eventually(async () => (await held()) === 0)
  })

  it("that goes deeper than what is remembered ends his connection with a reason", async () => {
    await start(FORK_AT + WINDOW_BLOCKS)
    await subscribe("logs", {})
    const goodbye = new Promise<[number, string]>((resolve) => {
      client.socket.on("close", (code, reason) => resolve([code, reason.toString()]))
    })
    client.socket.pause()
    to(second, 280)
    await looks(3)
    client.socket.resume()
    const [code, reason] = await goodbye
    assert.strictEqual(code, 1013)
    assert.match(reason, /a reorganisation went deeper than what is remembered/)
    assert.isEmpty(client.told)
  })

  it("that goes deeper than what is remembered is told as new heads to who wants these", async () => {
    await start(FORK_AT + WINDOW_BLOCKS)
    const heads = await subscribe("newHeads")
    to(second, 280)
    await client.toldAtLeast(WINDOW_BLOCKS)
    assert.deepEqual(hashesTold(heads), hashesOf(second.slice(281 - WINDOW_BLOCKS, 281)))
  })
})

const added = (log: unknown): string =>
  JSON.stringify({ ...(typeof log === "object" ? log : {}), removed: false })
