/** The command line with programs of the test's own: what they are given, and how it ends. */
import { availableParallelism } from "node:os"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { runCli, type Programs } from "../../src/cli/Cli.ts"
import type { Environment } from "../../src/cli/commandLine.ts"
import type { DevnetOptions } from "../../src/cli/devnetOptions.ts"
import { ExitCode, exitCodeOfSignal } from "../../src/cli/exitCodes.ts"
import type { IngestOptions, ProbeOptions, SyncOptions } from "../../src/cli/syncOptions.ts"
import { UsageError } from "../../src/cli/UsageError.ts"
import { Stop } from "../../src/observe/Stop.ts"
import { loggerLayer, Terminal } from "../../src/observe/Terminal.ts"

interface Run {
  readonly argv: ReadonlyArray<string>
  readonly environment?: Environment
  readonly colourTerminal?: boolean
  readonly programs?: Partial<Programs>
}

/** Runs the command line in memory; `given` holds what the stand-in programs got. */
const run = ({ argv, environment = {}, colourTerminal = false, programs = {} }: Run) =>
  Effect.gen(function* () {
    const written = { stdout: "", stderr: "" }
    const loaded: Array<keyof Programs> = []
    const given: { probe?: ProbeOptions; ingest?: IngestOptions; devnet?: DevnetOptions } = {}
    const output = (name: keyof typeof written) => ({
      isTTY: colourTerminal,
      write: (text: string) => (written[name] += text),
    })
    const terminal = Terminal.layerWith({
      stdout: output("stdout"),
      stderr: output("stderr"),
      environment,
    })
    const recording: Programs = {
      probe: async () => {
        loaded.push("probe")
        return (options) => Effect.sync(() => ((given.probe = options), ExitCode.complete))
      },
      ingest: async () => {
        loaded.push("ingest")
        return (options) => Effect.sync(() => ((given.ingest = options), ExitCode.complete))
      },
      status: async () => () => Effect.succeed(ExitCode.complete),
      verify: async () => () => Effect.succeed(ExitCode.complete),
      tables: async () => () => Effect.succeed(ExitCode.complete),
      peers: async () => () => Effect.succeed(ExitCode.complete),
      serve: async () => () => Effect.succeed(ExitCode.complete),
      devnet: async () => {
        loaded.push("devnet")
        return (options) => Effect.sync(() => ((given.devnet = options), ExitCode.complete))
      },
    }
    const code = yield* runCli(argv, environment, { ...recording, ...programs }).pipe(
      Effect.provide(Layer.provideMerge(Layer.merge(loggerLayer, Stop.layerMemory), terminal)),
    )
    return { code, given, loaded, ...written }
  })

const lines = (text: string): ReadonlyArray<string> => text.split("\n").filter((one) => one !== "")

const talking: Programs["probe"] = async () => () =>
  Effect.gen(function* () {
    yield* Effect.logInfo("a note").pipe(Effect.annotateLogs("peer", "p1"))
    yield* Effect.logDebug("hidden")
    yield* (yield* Terminal).data("{}")
    return ExitCode.complete
  })

const stopping: Programs["probe"] = async () => () =>
  Effect.gen(function* () {
    const stop = yield* Stop
    yield* Effect.fork(stop.request("SIGTERM"))
    return exitCodeOfSignal(yield* stop.requested)
  })

describe("runCli", () => {
  it.effect("hands a probe the documented defaults", () =>
    Effect.gen(function* () {
      const { code, given, loaded } = yield* run({ argv: ["sync", "--benchmark", "probe"] })
      assert.strictEqual(code, 0)
      assert.deepEqual(loaded, ["probe"])
      const expected: SyncOptions = {
        kind: "probe",
        network: "mainnet",
        peers: [],
        discovery: { enabled: true, bootnodes: undefined, dnsTrees: undefined },
        maxPeers: 50,
        minPeers: 1,
        maxOutbound: 400,
        maxConcurrentDials: 200,
        port: undefined,
        maxInbound: 200,
        startBlock: 0,
        endBlock: undefined,
        blocksPerAssignment: 32,
        receiptsPerRequest: 16,
        peerCache: undefined,
        timeoutMs: 4000,
        rollbackWindow: 64,
        giveUpMs: 60_000,
      }
      assert.deepEqual(given.probe, expected)
    }),
  )

  it.effect("hands an ingest the documented defaults, and loads no probe", () =>
    Effect.gen(function* () {
      const { code, given, loaded } = yield* run({ argv: ["sync"] })
      assert.strictEqual(code, 0)
      assert.deepEqual(loaded, ["ingest"])
      const { verify, workers, ...rest } = given.ingest!
      assert.deepEqual(
        [...verify],
        ["links", "transactions", "uncles", "withdrawals", "receipts", "bloom"],
      )
      assert.strictEqual(workers, Math.min(Math.max(availableParallelism() - 1, 1), 4))
      assert.deepEqual<unknown>(rest, {
        kind: "ingest",
        mode: "ingest",
        network: "mainnet",
        peers: [],
        discovery: { enabled: true, bootnodes: undefined, dnsTrees: undefined },
        maxPeers: 50,
        minPeers: 1,
        maxOutbound: 400,
        maxConcurrentDials: 200,
        port: undefined,
        maxInbound: 200,
        startBlock: 0,
        endBlock: undefined,
        blocksPerAssignment: 32,
        receiptsPerRequest: undefined,
        timeoutMs: 4000,
        rollbackWindow: 64,
        giveUpMs: 60_000,
        dataDir: "annals-data",
        dataDirGiven: false,
        tables: [],
        trustedHashes: [],
        json: false,
      })
    }),
  )

  it.effect("hands an ingest its flags, repeated ones and those of a profile too", () =>
    Effect.gen(function* () {
      const [low, high] = ["0a".repeat(32), "0b".repeat(32)]
      const argv = `sync --trusted-hash 9:0x${high} --verify=receipts,bloom --trusted-hash=3:${low}
        --tables logs --tables=uncles --workers 0 --json --data-dir d --benchmark profile
        --benchmark-blocks 5 --receipts-per-request 3`
      const { given, loaded } = yield* run({ argv: argv.split(/\s+/) })
      assert.deepEqual(loaded, ["ingest"])
      assert.include(given.ingest, {
        mode: "profile",
        endBlock: 4,
        receiptsPerRequest: 3,
        workers: 0,
        json: true,
        dataDir: "d",
        dataDirGiven: true,
      })
      assert.deepEqual([...given.ingest!.verify], ["receipts", "bloom"])
      assert.deepEqual(given.ingest!.tables, ["logs", "uncles"])
      assert.deepEqual(given.ingest!.trustedHashes, [
        { blockNumber: 3, hash: new Uint8Array(32).fill(10) },
        { blockNumber: 9, hash: new Uint8Array(32).fill(11) },
      ])
    }),
  )

  it.effect("fills in an ingest's flags from the environment, and lets each flag win", () =>
    Effect.gen(function* () {
      const environment = {
        ANNALS_BENCHMARK: "profile",
        ANNALS_DATA_DIR: "there",
        ANNALS_WORKERS: "3",
        ANNALS_VERIFY: "links, bloom",
        ANNALS_TABLES: "all",
        ANNALS_TRUSTED_HASH: `1:${"0a".repeat(32)},2:${"0b".repeat(32)}`,
        ANNALS_JSON: "true",
      }
      const filled = (yield* run({ argv: ["sync"], environment })).given.ingest!
      assert.include(filled, {
        mode: "profile",
        dataDir: "there",
        dataDirGiven: true,
        workers: 3,
        json: true,
      })
      assert.deepEqual([...filled.verify], ["links", "bloom"])
      assert.deepEqual(filled.tables, ["transactions", "logs", "withdrawals", "uncles"])
      assert.deepEqual(
        filled.trustedHashes.map(({ blockNumber }) => blockNumber),
        [1, 2],
      )
      const argv = `sync --data-dir here --workers 1 --verify none --tables none --json=false
        --trusted-hash 4:${"0c".repeat(32)}`
      const won = (yield* run({ argv: argv.split(/\s+/), environment })).given.ingest!
      assert.include(won, { dataDir: "here", workers: 1, json: false })
      assert.strictEqual(won.verify.size, 0)
      assert.deepEqual(won.tables, [])
      assert.deepEqual(won.trustedHashes, [{ blockNumber: 4, hash: new Uint8Array(32).fill(12) }])
    }),
  )

  it.effect("hands on what stands in any order, behind any kind of flag", () =>
    Effect.gen(function* () {
      const nodeId = "0c".repeat(64)
      const argv = `sync --json --no-discovery --end-block=9 --log-level error --min-peers 3
        --peer enode://${nodeId}@127.0.0.1:1 --max-peers 4 --data-dir x --benchmark=harness`
      const { code, given } = yield* run({ argv: argv.split(/\s+/) })
      assert.strictEqual(code, 0)
      assert.include(given.probe, { endBlock: 9, minPeers: 3, maxPeers: 4 })
      const peer = { nodeId, host: "127.0.0.1", tcpPort: 1, udpPort: 1 }
      assert.deepEqual(given.probe?.peers, [peer])
    }),
  )

  it.effect("fills in from the environment, and lets the flag win", () =>
    Effect.gen(function* () {
      const ids = ["1a", "2b"].map((byte) => byte.repeat(64))
      const { given } = yield* run({
        argv: ["sync", "--timeout-ms", "5"],
        environment: {
          ANNALS_BENCHMARK: "probe",
          ANNALS_TIMEOUT_MS: "6",
          ANNALS_GIVE_UP_MS: "7",
          ANNALS_PEER: ids.map((id) => `enode://${id}@h:1`).join(","),
        },
      })
      assert.include(given.probe, { timeoutMs: 5, giveUpMs: 7 })
      assert.deepEqual(
        given.probe?.peers.map((peer) => peer.nodeId),
        ids,
      )
    }),
  )

  it.effect("hands a devnet its files and faults", () =>
    Effect.gen(function* () {
      const argv = ["devnet", "--chain", "a", "b", "--fault", "slow=1,lie=2", "--fault=leave=1"]
      const { code, given, loaded } = yield* run({ argv })
      assert.strictEqual(code, 0)
      assert.deepEqual(loaded, ["devnet"])
      assert.deepEqual(given.devnet?.chainFiles, ["a", "b"])
      assert.include(given.devnet?.faults, { slow: 1, lie: 2, leave: 1, silent: 0 })
    }),
  )

  it.effect.each([
    [],
    ["fetch"],
    ["sync", "--benchmark"],
    ["sync", "--benchmark", "everything"],
    ["sync", "--benchmark-start", "1"],
    ["sync", "--verify", "all,none"],
    ["sync", "--tables", "receipts"],
    ["sync", "--tables"],
    ["sync", "--trusted-hash", "1"],
    ["sync", "--trusted-hash", `1:${"0a".repeat(32)}`, "--trusted-hash", `1:${"0b".repeat(32)}`],
    ["sync", "--workers", "65"],
    ["sync", "--workers", "-1"],
    ["sync", "--data-dir="],
    ["sync", "--follow", "--end-block", "5"],
    ["sync", "--trusted-head", "http://127.0.0.1:8545"],
    ["sync", "--benchmark", "probe", "--peer"],
    ["sync", "--benchmark", "probe", "--peer", "enode://zz@127.0.0.1:1"],
    ["sync", "--benchmark", "probe", "--start-block", "-1"],
    ["sync", "--benchmark", "probe", "--start-block", "2", "--end-block", "1"],
    ["sync", "--benchmark", "probe", "--benchmark-end", "2", "--benchmark-blocks", "1"],
    ["sync", "--benchmark", "probe", "--bootnode", "x"],
    ["devnet"],
    ["devnet", "--generate", "5", "--fault", "slow=11"],
  ])("refuses %j in one line on stderr with code 2, and loads no program", (argv) =>
    Effect.gen(function* () {
      const { code, loaded, stderr, stdout } = yield* run({ argv })
      assert.strictEqual(code, ExitCode.usage)
      assert.strictEqual(stdout, "")
      assert.match(stderr, /^annals: [^\n]+\n$/)
      assert.deepEqual(loaded, [])
    }),
  )

  it.effect("keeps control characters of an argument out of what it says", () =>
    Effect.gen(function* () {
      const { stderr } = yield* run({ argv: ["sync", "\u001b[31m\r\nevil\u0007"] })
      assert.strictEqual(stderr, 'annals: unexpected argument " evil"\n')
    }),
  )

  it.effect("shows help, version and completions on stdout only, without colour codes", () =>
    Effect.gen(function* () {
      for (const argv of [["--help"], ["sync", "-h"], ["--version"], ["--completions", "zsh"]]) {
        const { code, loaded, stderr, stdout } = yield* run({ argv })
        assert.strictEqual(code, 0)
        assert.strictEqual(stderr, "")
        assert.notInclude(stdout, "\u001b")
        assert.isAbove(stdout.length, 4)
        assert.deepEqual(loaded, [])
      }
      const version = yield* run({ argv: ["sync", "--version"] })
      assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
    }),
  )

  it.effect("offers in the completions only what it knows", () =>
    Effect.gen(function* () {
      for (const shell of ["bash", "sh", "fish", "zsh"]) {
        const { stdout } = yield* run({ argv: ["--completions", shell] })
        assert.include(stdout, "benchmark-blocks")
        assert.notInclude(stdout, "wizard")
      }
    }),
  )

  it.effect("honours NO_COLOR on a colour terminal", () =>
    Effect.gen(function* () {
      const plain = { argv: ["fetch"], colourTerminal: true, environment: { NO_COLOR: "1" } }
      assert.notInclude((yield* run(plain)).stderr, "\u001b")
      const coloured = yield* run({ argv: ["fetch"], colourTerminal: true })
      assert.include(coloured.stderr, "\u001b[31m")
    }),
  )

  it.effect("ends with the program's code", () =>
    Effect.gen(function* () {
      const argv = ["sync", "--benchmark", "probe"]
      for (const expected of Object.values(ExitCode)) {
        const programs = { probe: async () => () => Effect.succeed(expected) }
        assert.strictEqual((yield* run({ argv, programs })).code, expected)
      }
    }),
  )

  it.effect("ends with 2 and one line for what only the program could find", () =>
    Effect.gen(function* () {
      const reason = "cannot read x.era1: no such file"
      const { code, stderr } = yield* run({
        argv: ["devnet", "--chain", "x.era1"],
        programs: { devnet: async () => () => Effect.fail(new UsageError({ reason })) },
      })
      assert.strictEqual(code, ExitCode.usage)
      assert.strictEqual(stderr, `annals: ${reason}\n`)
    }),
  )

  it.effect("ends with 1 and one line for what nobody foresaw", () =>
    Effect.gen(function* () {
      const argv = ["sync", "--benchmark", "probe"]
      const dying = { probe: async () => () => Effect.die(new Error("a bug\nin two lines")) }
      const quiet = yield* run({ argv, programs: dying })
      assert.strictEqual(quiet.code, ExitCode.unexpected)
      assert.strictEqual(quiet.stderr, "annals: unexpected error: a bug in two lines\n")
      const missing = { probe: () => Promise.reject(new Error("no such module")) }
      const unloaded = yield* run({ argv, programs: missing })
      assert.strictEqual(unloaded.code, ExitCode.unexpected)
      assert.strictEqual(unloaded.stderr, "annals: unexpected error: no such module\n")
      const absent = { ingest: () => Promise.reject(new Error("no such module")) }
      const ingesting = yield* run({ argv: ["sync"], programs: absent })
      assert.strictEqual(ingesting.code, ExitCode.unexpected)
      assert.strictEqual(ingesting.stderr, unloaded.stderr)
    }),
  )

  it.effect("shows the cause at --log-level debug", () =>
    Effect.gen(function* () {
      const dying = { probe: async () => () => Effect.die(new Error("a bug")) }
      const argv = ["sync", "--benchmark", "probe", "--log-level", "debug"]
      const { stderr } = yield* run({ argv, programs: dying })
      assert.strictEqual(lines(stderr).length, 2)
      assert.match(lines(stderr)[1] ?? "", / debug cause: Error: a bug .*Cli\.test/)
    }),
  )

  it.effect("sends what a program logs to stderr and its data to stdout", () =>
    Effect.gen(function* () {
      const argv = ["sync", "--benchmark", "probe"]
      const { stderr, stdout } = yield* run({ argv, programs: { probe: talking } })
      assert.strictEqual(stdout, "{}\n")
      assert.match(stderr, /^\d\d:\d\d:\d\d info a note peer=p1\n$/)
    }),
  )

  it.effect("lets a program end in order with the signal's code", () =>
    Effect.gen(function* () {
      const argv = ["sync", "--benchmark", "probe"]
      assert.strictEqual((yield* run({ argv, programs: { probe: stopping } })).code, 143)
    }),
  )
})
