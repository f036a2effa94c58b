/**
 * A real indexer on annals, for `npm run stress -- --only indexer`: ponder indexes transfers, those
 * of one token and those of all contracts, from a devnet that annals follows and serves, through the
 * backfill, new blocks and a reorganisation. After each of them its rows must be those of the store's
 * `logs`, and every step must have brought some.
 *
 * Installs ponder from the registry into a folder of its own, which takes most of the time.
 */
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import Database from "better-sqlite3"

const program = new URL("../dist/main.js", import.meta.url).pathname

const PONDER = { ponder: "1.0.0", viem: "2.57.1", hono: "4.10.0" }
const INSTALL_LIMIT_MS = 300_000
const STEP_LIMIT_MS = 90_000

/** Blocks of the chain; where the two branches part; the heads that are played, in turn. */
const CHAIN_BLOCKS = 400
const FORK_AT = 190
const STEPS = ["head 180", "head 199", "head 204 fork", "head 230 fork"]

const TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

const files = {
  "package.json": JSON.stringify({ private: true, type: "module", dependencies: PONDER }),
  "ponder.config.ts": `
import { createConfig } from "ponder"
import { http } from "viem"
const transfer = { type: "event", name: "Transfer", inputs: [
  { name: "from", type: "address", indexed: true },
  { name: "to", type: "address", indexed: true },
  { name: "value", type: "uint256", indexed: false },
] } as const
export default createConfig({
  networks: { devnet: { chainId: Number(process.env.CHAIN_ID), transport: http(process.env.RPC_URL), pollingInterval: 300 } },
  contracts: {
    Token: { abi: [transfer], network: "devnet", address: process.env.TOKEN as \`0x\${string}\`, startBlock: 1 },
    Any: { abi: [transfer], network: "devnet", startBlock: 1 },
  },
})
`,
  "ponder.schema.ts": `
import { onchainTable } from "ponder"
export const transfer = onchainTable("transfer", (t) => ({
  id: t.text().primaryKey(), address: t.hex().notNull(), from: t.hex().notNull(), to: t.hex().notNull(), value: t.text().notNull(),
  blockHash: t.hex().notNull(), transactionHash: t.hex().notNull(),
}))
`,
  "src/index.ts": `
import { ponder } from "ponder:registry"
import { transfer } from "ponder:schema"
const rowOf = (source, event) => ({
  id: \`\${source}-\${event.block.number}-\${event.log.logIndex}\`, address: event.log.address,
  from: event.args.from, to: event.args.to, value: event.args.value.toString(),
  blockHash: event.block.hash, transactionHash: event.transaction.hash,
})
ponder.on("Token:Transfer", async ({ event, context }) => {
  await context.db.insert(transfer).values(rowOf("token", event))
})
ponder.on("Any:Transfer", async ({ event, context }) => {
  await context.db.insert(transfer).values(rowOf("any", event))
})
`,
  "src/api/index.ts": `
import { Hono } from "hono"
import { db } from "ponder:api"
import schema from "ponder:schema"
const app = new Hono()
app.get("/rows", async (context) => context.json(await db.select().from(schema.transfer)))
export default app
`,
}

const run = (args, options = {}) => {
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"], ...options })
  const said = { out: "", err: "" }
  child.stdout.on("data", (chunk) => (said.out = (said.out + chunk).slice(-20_000)))
  child.stderr.on("data", (chunk) => (said.err = (said.err + chunk).slice(-20_000)))
  const ended = new Promise((resolve) => child.on("close", resolve))
  return { child, said, ended }
}

/** Asks again and again until the answer is not undefined; what fails counts as undefined. */
const until = async (what, ask, told) => {
  const deadline = Date.now() + STEP_LIMIT_MS
  for (;;) {
    const answer = await ask().catch(() => undefined)
    if (answer !== undefined) return answer
    if (Date.now() > deadline) throw new Error(`no ${what} in time: ${told()}`)
    await sleep(200)
  }
}

const rpc = async (url, method, params = []) => {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params })
  const headers = { "content-type": "application/json" }
  const answer = await fetch(url, { method: "POST", headers, body })
  return (await answer.json()).result
}

/** The transfers of the store as the indexer's rows, or the busiest token among them. */
const inStore = (file, query) => {
  const database = new Database(file, { readonly: true })
  try {
    return query(database)
  } finally {
    database.close()
  }
}
const transfersSql = `FROM logs JOIN blocks USING (block_number)
  JOIN transactions USING (block_number, transaction_index)
  WHERE topic0 = x'${TRANSFER}' AND topic2 IS NOT NULL AND topic3 IS NULL AND length(data) = 32`
const hex = (bytes) => `0x${Buffer.from(bytes).toString("hex")}`

/** The rows that the indexer has to have: of every transfer, and once more of the token's. */
const expectedRows = (file, token) =>
  inStore(file, (database) =>
    database
      .prepare(
        `SELECT block_number, log_index, address, topic1, topic2, data, block_hash, transaction_hash ${transfersSql}`,
      )
      .all()
      .flatMap((row) => {
        const values = {
          address: hex(row.address),
          from: hex(row.topic1.subarray(12)),
          to: hex(row.topic2.subarray(12)),
          value: BigInt(hex(row.data)).toString(),
          blockHash: hex(row.block_hash),
          transactionHash: hex(row.transaction_hash),
        }
        const id = `${row.block_number}-${row.log_index}`
        const any = { ...values, id: `any-${id}` }
        return values.address === token ? [any, { ...values, id: `token-${id}` }] : [any]
      }),
  )

const sorted = (rows) =>
  JSON.stringify(
    rows
      .map(({ id, address, from, to, value, blockHash, transactionHash }) =>
        [id, address, from, to, value, blockHash, transactionHash].join(" ").toLowerCase(),
      )
      .toSorted(),
  )

/** The rows that others lack: one in a block of another branch is another row. */
const without = (rows, others) => {
  const known = new Set(others.map(({ id, blockHash }) => `${id} ${blockHash}`))
  return rows.filter(({ id, blockHash }) => !known.has(`${id} ${blockHash}`))
}

/** Plays all of it in a folder that is gone afterwards; gives what to print. */
export const runIndexer = async () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-indexer-"))
  const children = []
  const begin = (...args) => {
    const started = run(...args)
    children.push(started)
    return started
  }
  try {
    const app = path.join(directory, "ponder")
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(app, name)), { recursive: true })
      writeFileSync(path.join(app, name), text)
    }
    const install = ["install", "--no-audit", "--no-fund", "--loglevel=error"]
    const { status, stderr } = spawnSync("npm", install, {
      cwd: app,
      timeout: INSTALL_LIMIT_MS,
      encoding: "utf8",
    })
    if (status !== 0) throw new Error(`ponder could not be installed: ${stderr}`)

    const [first, ...later] = STEPS
    const devnet = begin([
      program,
      "devnet",
      "--peers=4",
      "--control",
      `--generate=${CHAIN_BLOCKS}`,
      "--shape=light",
      `--head=${first.split(" ")[1]}`,
      `--fork-at=${FORK_AT}`,
    ])
    const enodes = []
    for await (const line of createInterface({ input: devnet.child.stdout })) {
      enodes.push(line)
      if (enodes.length === 4) break
    }
    const data = path.join(directory, "data")
    const annals = begin([
      program,
      "sync",
      "--network=devnet",
      "--follow",
      "--serve",
      "--http-port=0",
      "--tables=all",
      "--min-peers=4",
      `--data-dir=${data}`,
      ...enodes.map((enode) => `--peer=${enode}`),
    ])
    const told = () => annals.said.err
    const url = await until("server", async () => /http:\/\/[\d.:]+/u.exec(told())?.[0], told)
    const atHead = async (step) => {
      const number = Number(step.split(" ")[1])
      await until(
        `block ${number}`,
        async () => (Number(await rpc(url, "eth_blockNumber")) === number ? number : undefined),
        told,
      )
    }
    await atHead(first)
    const file = path.join(data, "annals.db")
    const token = inStore(file, (database) =>
      hex(
        database
          .prepare(`SELECT address ${transfersSql} GROUP BY address ORDER BY count(*) DESC LIMIT 1`)
          .pluck()
          .get(),
      ),
    )
    const port = 40_000 + Math.floor(Math.random() * 20_000)
    const ponder = begin(
      [
        "node_modules/ponder/dist/esm/bin/ponder.js",
        "start",
        "--schema=annals",
        `--port=${port}`,
        "--hostname=127.0.0.1",
      ],
      {
        cwd: app,
        env: {
          ...process.env,
          CHAIN_ID: String(Number(await rpc(url, "eth_chainId"))),
          RPC_URL: url,
          TOKEN: token,
          PONDER_TELEMETRY_DISABLED: "true",
        },
      },
    )
    const steps = []
    let before = []
    for (const step of [first, ...later]) {
      if (step !== first) {
        devnet.child.stdin.write(`${step}\n`)
        await atHead(step)
      }
      const expected = expectedRows(file, token)
      await until(
        `rows after "${step}"`,
        async () => {
          const rows = await (await fetch(`http://127.0.0.1:${port}/rows`)).json()
          return sorted(rows) === sorted(expected) ? rows : undefined
        },
        () => `${expected.length} were expected; ${ponder.said.out.slice(-3_000)}`,
      )
      const brought = without(expected, before).length
      if (brought === 0) throw new Error(`"${step}" brought no row: there is nothing to see`)
      const took = without(before, expected).length
      steps.push({ step, rows: expected.length, brought, took })
      before = expected
    }
    const reorgs = inStore(file, (database) =>
      database.prepare("SELECT from_block, to_block FROM reorgs").all(),
    )
    const took = steps.reduce((sum, step) => sum + step.took, 0)
    if (reorgs.length === 0 || took === 0) throw new Error("no reorganisation took rows away")
    return { indexer: `ponder ${PONDER.ponder}`, token, steps, reorgs }
  } finally {
    for (const { child } of children.toReversed()) child.kill("SIGTERM")
    const over = sleep(10_000).then(() => children.forEach(({ child }) => child.kill("SIGKILL")))
    await Promise.race([Promise.all(children.map(({ ended }) => ended)), over])
    rmSync(directory, { recursive: true, force: true })
  }
}
