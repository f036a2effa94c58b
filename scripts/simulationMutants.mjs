/**
 * Shows that the simulation finds planted bugs: `npm run simulate -- --mutants`, with `--only TEXT` for
 * those whose name has the text in it.
 *
 * Each mutant is a small replacement in a copy of the sources, made in the system's folder for
 * temporary files. Seeds are simulated on it from the first on, until one of them breaks an
 * invariant. A replacement whose text is not found exactly once is an error: the source has moved on
 * and the mutant has to follow. On the unchanged copy the same seeds must break nothing.
 *
 * Prints a table: the bug, the seed that found it, the invariant that it broke.
 */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { ROOT } from "./bundle.mjs"
import { bundleSimulation, runWorker, temporaryFolder } from "./simulationProcesses.mjs"

const COPIED = ["package.json", "tsconfig.json", "src", "test/simulation", "test/fuzz/random.ts"]
/** Seeds that the unchanged copy is tried with first. */
const UNCHANGED_SEEDS = 100

const MUTANTS = [
  {
    bug: "scheduler: a block that goes back is forgotten",
    file: "src/scheduler/draft.ts",
    from: "else draft.normal = draft.normal.add(block, block)",
    to: "",
  },
  {
    bug: "scheduler: a block that a later stage refuses is forgotten",
    file: "src/scheduler/core.ts",
    from: "  markTried(draft, peerId, block)\n  requeue(draft, block, true)\n",
    to: "  markTried(draft, peerId, block)\n",
  },
  {
    bug: "scheduler: a slot is not free again",
    file: "src/scheduler/core.ts",
    from: "openBatches: peer.openBatches - 1",
    to: "openBatches: peer.openBatches",
  },
  {
    bug: "scheduler: a late block is taken whoever has it",
    file: "src/scheduler/core.ts",
    from: "if (!draft.normal.has(block) && !draft.escalated.has(block)) return drop(draft, LATE, block)",
    to: "",
  },
  {
    bug: "scheduler: a contested block goes to whoever is free",
    file: "src/scheduler/disputes.ts",
    from: "return or([disputes.resting, and(disputes.blocks, or(better.map(wanted)))])",
    to: "return disputes.resting",
  },
  {
    bug: "scheduler: what had to go for a contested block is forgotten",
    file: "src/scheduler/core.ts",
    from: "for (const each of back) sendBack(draft, each)",
    to: "sendBack(draft, block)",
  },
  {
    bug: "scheduler: what is shared is given to nobody",
    file: "src/scheduler/draft.ts",
    from: "  markTried(draft, batch.peerId, block)\n  putBack(draft, block)\n",
    to: "  markTried(draft, batch.peerId, block)\n",
  },
  {
    bug: "scheduler: who shares a block may bring it after others",
    file: "src/scheduler/draft.ts",
    from: "if (draft.batches.get(batchId)?.shared.has(block) !== true) return false",
    to: "if (draft.batches.get(batchId)?.shared.has(block) === true) return true\n  else return false",
  },
  {
    bug: "fetch: what an unneeded batch has borrowed is not given back",
    file: "src/fetch/Fetcher.ts",
    from: "Effect.onInterrupt(() => Effect.sync(assembly.abandon)),",
    to: "",
  },
  {
    bug: "fetch: a short answer bans",
    file: "src/fetch/verdict.ts",
    from: 'lacks: false, peer: "none", counter: "truncated"',
    to: 'lacks: false, peer: "ban", counter: "truncated"',
  },
  {
    bug: "fetch: a session that ends is a strike",
    file: "src/fetch/verdict.ts",
    from: 'peer: "none", counter: "disconnected"',
    to: 'peer: "strike", counter: "disconnected"',
  },
  {
    bug: "fetch: the bytes of a failed request stay reserved",
    file: "src/fetch/PeerLanes.ts",
    from: "        Effect.onError(() => Effect.sync(() => gate.release(reservedBytes))),\n",
    to: "",
  },
  {
    bug: "fetch: a part that nobody needs keeps its bytes",
    file: "src/fetch/BatchAssembly.ts",
    from: "if (draft === undefined || kind in draft.parts) return gate.release(item.length)",
    to: "if (draft === undefined || kind in draft.parts) return",
  },
  {
    bug: "fetch: the larder gives parts by number, not by hash",
    file: "src/fetch/larder.ts",
    from: "const entry = this.#entries.get(keyOf({ kind, hash }))",
    to: 'const entry = this.#entries.get([...this.#keysOf.get(blockNumber)!].find((key) => key.startsWith(kind)) ?? "")',
  },
  {
    bug: "fetch: parts of blocks that are whole stay in the larder",
    file: "src/fetch/BatchAssembly.ts",
    from: "larder.drop(header.number)",
    to: "",
  },
  {
    bug: "fetch: a late part goes into the larder, whole or not",
    file: "src/fetch/BatchAssembly.ts",
    from: "const isOpen = scheduler.isOpen(blockNumber)",
    to: "const isOpen = true as boolean",
  },
  {
    bug: "fetch: who finds no room is not told what waits",
    file: "src/fetch/BatchAssembly.ts",
    from: "scheduler.partsWait(peerId, block)",
    to: "false",
  },
  {
    bug: "fetch: a part that is larger than the larder has no room",
    file: "src/fetch/larder.ts",
    from: "const alone = single ? Math.max(0, bytes - this.#mostBytes) : 0",
    to: "const alone = 0",
  },
  {
    bug: "serving: a place that becomes free is handed to nobody",
    file: "src/Places.ts",
    from: "next.wake?.()",
    to: "",
  },
  {
    bug: "serving: who has asked too much at once is never read again",
    file: "src/wire/Serving.ts",
    from: "readOn()\n",
    to: "\n",
  },
  {
    bug: "serving: headers after that of our head begin one too late",
    file: "src/serving/HistoryAnswers.ts",
    from: "first.number + (query.skip + 1) *",
    to: "first.number + (query.skip + 2) *",
  },
  {
    bug: "fetch: the memory of an answer is free after the first of its blocks",
    file: "src/fetch/PartFetch.ts",
    from: "lendMemory(arrived[0]!.item, parts)",
    to: "lendMemory(arrived[0]!.item, Math.min(parts, 1))",
  },
  {
    bug: "fetch: the memory of an answer is free while a block of it is cut",
    file: "src/fetch/PartFetch.ts",
    from: "arrived.length + (cut === undefined ? 0 : 1)",
    to: "arrived.length",
  },
  {
    bug: "checks: the receipts root is not compared",
    file: "src/process/checkBlock.ts",
    from: "if (root !== undefined && !equalBytes(root, header.receiptsRoot)) {",
    to: "if (root === header.receiptsRoot) {",
  },
  {
    bug: "checks: the transactions root is not compared",
    file: "src/process/checkBlock.ts",
    from: "if (root !== undefined && !equalBytes(root, header.transactionsRoot)) {",
    to: "if (root === header.transactionsRoot) {",
  },
  {
    bug: "checks: who sent the header is blamed for the receipts",
    file: "src/process/CheckingProcessor.ts",
    from: "const { peerId } = block.senders[failure.part]",
    to: "const { peerId } = block.senders.header",
  },
  {
    bug: "writer: a block is done before it is committed",
    file: "src/write/StoreWriter.ts",
    from: "underWay += blocks.length\n",
    to: "underWay += blocks.length\n      for (const block of blocks) scheduler.done(block)\n",
  },
  {
    bug: "writer: coverage in a transaction of its own",
    file: "src/write/StoreCommits.ts",
    from: "yield* writeCoverage(database, coverage.takeChange(), coverage.names())",
    to: 'yield* database.run("COMMIT")\n    yield* database.run("BEGIN IMMEDIATE")\n    yield* writeCoverage(database, coverage.takeChange(), coverage.names())',
  },
  {
    bug: "writer: what had to go is not fetched again",
    file: "src/write/StoreWriter.ts",
    from: "yield* Effect.forEach(removed, remove, { discard: true })",
    to: "",
  },
  {
    bug: "writer: a block is not compared with the one above it",
    file: "src/write/segments.ts",
    from: "const badChild = upper !== undefined && !equalBytes(upper.firstParentHash, hash)",
    to: "const badChild = false as boolean",
  },
  {
    bug: "writer: few contests a height",
    file: "src/write/segments.ts",
    from: "export const MOST_CONTESTS = 32",
    to: "export const MOST_CONTESTS = 8",
  },
  {
    bug: "writer: two chains put each other out for ever",
    file: "src/write/segments.ts",
    from: "if (before >= MOST_CONTESTS) return false",
    to: "",
  },
  {
    bug: "writer: the store goes on after a statement has failed",
    file: "src/write/StoreCommits.ts",
    from: "failed ??= cause",
    to: "",
  },
  {
    bug: "session: an answer is anybody's of its kind",
    file: "src/wire/SessionCore.ts",
    from: "const request = this.#open.get(head.requestId)",
    to: "const request = this.#open.oldest(kind)",
  },
  {
    bug: "session: open requests do not hear of the end",
    file: "src/wire/SessionCore.ts",
    from: "request.resume(Effect.fail(error))",
    to: "void error",
  },
  {
    bug: "peers: who has left is never dialled again",
    file: "src/peers/Dialer.ts",
    from: 'book.settle(enode.nodeId, letGo ? "useless" : outcome, nowMs, banned ? usableFromMs : 0)',
    to: "void letGo",
  },
  {
    bug: "peers: who has left stays in the pool",
    file: "src/peers/PeerKeeper.ts",
    from: "(joined) => (joined ? pool.leave(session.peerId) : Effect.void)",
    to: "() => Effect.void",
  },
]

/** A folder with the sources and the simulation; `mutant` is planted in it if there is one. */
const copyTree = (mutant) => {
  const tree = temporaryFolder(path.join(tmpdir(), "annals-simulation-"))
  const dir = tree.folder
  for (const name of COPIED) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true })
    cpSync(path.join(ROOT, name), path.join(dir, name), { recursive: true, dereference: true })
  }
  // The compiled addon is below build/, where there is one.
  for (const name of ["node_modules", "build"]) {
    symlinkSync(path.join(ROOT, name), path.join(dir, name), "dir")
  }
  if (mutant === undefined) return tree
  const file = path.join(dir, mutant.file)
  const parts = readFileSync(file, "utf8").split(mutant.from)
  if (parts.length !== 2) {
    throw new Error(`"${mutant.bug}": its text is ${parts.length - 1} times in ${mutant.file}`)
  }
  writeFileSync(file, parts.join(mutant.to))
  return tree
}

/** The first of the seeds, as processes come to them, that breaks an invariant. */
const firstViolation = async (mutant, seeds, processes) => {
  const { folder, dispose } = copyTree(mutant)
  try {
    const program = await bundleSimulation(folder, path.join(folder, "out"))
    let found
    const workers = []
    const onLine = (line) => {
      const { seed, violations } = JSON.parse(line)
      if (seed === undefined || found !== undefined) return
      found = { seed, ...violations[0] }
      for (const worker of workers) worker.end()
    }
    for (let at = 0; at < processes; at++) {
      const count = Math.ceil((seeds - at) / processes)
      workers.push(
        runWorker({ program, first: 1 + at, count, stride: processes, mode: "first", onLine }),
      )
    }
    const wrong = (await Promise.all(workers.map(({ ended }) => ended))).find(Boolean)
    // A process that hangs has found the bug too, if not its name.
    return found ?? (wrong && { seed: "?", invariant: "the process ends", detail: wrong })
  } finally {
    dispose()
  }
}

/** Runs all mutants whose name has `only` in it; gives whether each was found. */
export const runMutants = async ({ seeds, processes, only }) => {
  const unchanged = await firstViolation(undefined, UNCHANGED_SEEDS, processes)
  if (unchanged !== undefined) {
    console.log(
      `without any mutant seed ${unchanged.seed} breaks "${unchanged.invariant}": ${unchanged.detail}`,
    )
    return false
  }
  const chosen = MUTANTS.filter(({ bug }) => bug.includes(only))
  let survivors = 0
  console.log("| bug | found at seed | invariant |\n|---|---|---|")
  for (const mutant of chosen) {
    const found = await firstViolation(mutant, seeds, processes)
    if (found === undefined) survivors += 1
    console.log(
      `| ${mutant.bug} | ${found?.seed ?? `not in ${seeds}`} | ${found?.invariant ?? ""} |`,
    )
  }
  console.log(`${chosen.length - survivors} of ${chosen.length} found within ${seeds} seeds`)
  return survivors === 0
}
