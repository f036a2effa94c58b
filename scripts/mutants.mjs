/**
 * Shows that the scheduler's property tests catch planted bugs: `npm run mutants`, or
 * `npm run mutants -- TEXT` for those whose name has the text in it.
 *
 * Each mutant is a small replacement in a copy of the sources, made in the system's folder for
 * temporary files; the tests run there. They must pass on the unchanged copy and fail on each
 * mutant. A replacement whose text is not found exactly once is an error: the source has moved on
 * and the mutant has to follow.
 *
 * Exit 0 when all mutants are killed, 1 otherwise. Takes about ten seconds a mutant.
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = fileURLToPath(new URL("..", import.meta.url))
const COPIED = ["package.json", "vitest.config.ts", "src/domain", "src/scheduler", "test/scheduler"]
const TESTS = "test/scheduler/core.test.ts"
const VITEST = path.join("node_modules", "vitest", "vitest.mjs")
const TIMEOUT_MS = 180_000

const MUTANTS = [
  {
    bug: "a requeue forgets its attempt",
    file: "src/scheduler/draft.ts",
    from: "if (counted) countAttempt(draft, block)",
    to: "",
  },
  {
    bug: "an overdue batch keeps its blocks to itself",
    file: "src/scheduler/core.ts",
    from: "    share(draft, batchId, block)\n",
    to: "",
  },
  {
    bug: "what is shared goes back to the same peer",
    file: "src/scheduler/draft.ts",
    from: "  markTried(draft, batch.peerId, block)\n  putBack(draft, block)",
    to: "  putBack(draft, block)",
  },
  {
    bug: "the first to bring a shared block is turned away",
    file: "src/scheduler/core.ts",
    from: "if (!isOwn && !takeShared(draft, batchId, block))",
    to: "if (!isOwn)",
  },
  {
    bug: "a shared block that was brought is still another batch's",
    file: "src/scheduler/draft.ts",
    from: 'for (const set of ["normal", "escalated", "assigned"] as const) {\n    if (!draft[set]',
    to: 'for (const set of ["normal", "escalated"] as const) {\n    if (!draft[set]',
  },
  {
    bug: "the head gate is off by one",
    file: "src/scheduler/choose.ts",
    from: "without(without(between(peer.range.from, peer.range.to), peer.tried), peer.lacks)",
    to: "without(without(between(peer.range.from, peer.range.to + 1), peer.tried), peer.lacks)",
  },
  {
    bug: "a peer that leaves keeps its blocks",
    file: "src/scheduler/core.ts",
    from: "closeBatch(draft, batch, (block) => markTried(draft, peerId, block))",
    to: "",
  },
  {
    bug: "escalation ignores who has tried the block",
    file: "src/scheduler/choose.ts",
    from: "const escalated = and(state.escalated, fresh).next(peer.escalatedFloor)",
    to: "const escalated = and(state.escalated, between(peer.range.from, peer.range.to)).next(0)",
  },
  {
    bug: "a batch spans a gap",
    file: "src/scheduler/choose.ts",
    from: "Math.min(last, and(state.normal, fitting).runEnd(from))",
    to: "Math.min(last, state.normal.next(from + 1) ?? from)",
  },
  {
    bug: "a block that went back stays below the floors",
    file: "src/scheduler/draft.ts",
    from: "if (!draft.exhausted.has(block)) lowerFloors(draft, block, block, escalated)",
    to: "",
  },
  {
    bug: "a late answer is accepted",
    file: "src/scheduler/draft.ts",
    from: "if (batch === undefined || !ownedBy(draft, batch).has(block)) return undefined",
    to: "if (batch === undefined) return undefined",
  },
  {
    bug: "a peer is given one batch more than its slots",
    file: "src/scheduler/choose.ts",
    from: "peer.openBatches < peer.slots &&",
    to: "peer.openBatches <= peer.slots &&",
  },
  {
    bug: "a chance without an attempt is forgotten",
    file: "src/scheduler/core.ts",
    from: "if (attempt || tried) markTried",
    to: "if (attempt) markTried",
  },
  {
    bug: "a chance without an attempt is counted as one",
    file: "src/scheduler/core.ts",
    from: "requeue(draft, block, attempt)",
    to: "requeue(draft, block, attempt || tried)",
  },
  {
    bug: "a peer that is paused is given work",
    file: "src/scheduler/choose.ts",
    from: "peer.openBatches < peer.slots && peer.usableFromMs <= nowMs",
    to: "peer.openBatches < peer.slots",
  },
  {
    bug: "new rounds wait for all second chances",
    file: "src/scheduler/choose.ts",
    from: "firstAround(peer.secondFrom, secondChance(state, peer, kept), newRound(state, peer))",
    to: "secondChance(state, peer, kept) ?? newRound(state, peer)",
  },
  {
    bug: "who has left counts against who stays",
    file: "src/scheduler/disputes.ts",
    from: "if (standing !== undefined && !(standing.banned && standing.usableFromMs > nowMs)) count += 1",
    to: "if (!(standing?.banned === true && standing.usableFromMs > nowMs)) count += 1",
  },
  {
    bug: "a contested block does not rest",
    file: "src/scheduler/disputes.ts",
    from: "if (ends <= nowMs) resting",
    to: "resting",
  },
  {
    bug: "a contested block goes to whoever is free",
    file: "src/scheduler/disputes.ts",
    from: "opponentsOf(state, other.peerId) < own",
    to: "opponentsOf(state, other.peerId) < 0",
  },
  {
    bug: "of two that contradict each other the wrong one had its chance",
    file: "src/scheduler/core.ts",
    from: "opponentsOf(draft, putOut) >= opponentsOf(draft, peerId) ? putOut : peerId",
    to: "peerId",
  },
  {
    bug: "a banned peer is hoped for",
    file: "src/scheduler/choose.ts",
    from: "if (isBanned(peer, state.nowMs)) continue",
    to: "",
  },
]

/** A folder with the sources and tests; `mutant` is planted in it if there is one. */
const copyTree = (mutant) => {
  const dir = mkdtempSync(path.join(tmpdir(), "annals-mutant-"))
  for (const name of COPIED) {
    cpSync(path.join(ROOT, name), path.join(dir, name), { recursive: true })
  }
  symlinkSync(path.join(ROOT, "node_modules"), path.join(dir, "node_modules"), "dir")
  if (mutant !== undefined) {
    const file = path.join(dir, mutant.file)
    const parts = readFileSync(file, "utf8").split(mutant.from)
    if (parts.length !== 2) {
      rmSync(dir, { recursive: true })
      throw new Error(`"${mutant.bug}": its text is ${parts.length - 1} times in ${mutant.file}`)
    }
    writeFileSync(file, parts.join(mutant.to))
  }
  return dir
}

/** Whether the tests pass there, and the names of those that fail. */
const runTests = (mutant) => {
  const dir = copyTree(mutant)
  try {
    const { status, error, stdout } = spawnSync(
      process.execPath,
      [VITEST, "run", TESTS, "--reporter=json"],
      { cwd: dir, encoding: "utf8", timeout: TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 },
    )
    if (error !== undefined) throw error
    // A tree that does not even load would look like a mutant that was killed.
    const report = JSON.parse(stdout.slice(stdout.indexOf("{")))
    const results = report.testResults.flatMap((file) => file.assertionResults)
    if (results.length === 0) throw new Error(`no test ran: ${stdout.slice(0, 2_000)}`)
    const failed = results.filter((result) => result.status === "failed")
    return { passed: status === 0, killers: failed.map(({ title }) => title.split(" ")[0]) }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

if (!runTests(undefined).passed) {
  console.error("the tests fail without any mutant")
  process.exit(1)
}
const chosen = MUTANTS.filter(({ bug }) => bug.includes(process.argv[2] ?? ""))
let survivors = 0
for (const mutant of chosen) {
  const { passed, killers } = runTests(mutant)
  if (passed) survivors += 1
  console.log(`${passed ? "SURVIVED" : "killed  "}  ${mutant.bug}  ${killers.join(" ")}`)
}
console.log(`${chosen.length - survivors} of ${chosen.length} killed`)
process.exit(survivors === 0 ? 0 : 1)
