/** The preparation of command lines: every misuse is refused in one line, nothing is dropped. */
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { prepareCommandLine, type Environment } from "../../src/cli/commandLine.ts"
import { devnetFlags } from "../../src/cli/devnetOptions.ts"
import { syncFlags } from "../../src/cli/syncOptions.ts"

const commands = { sync: syncFlags, devnet: devnetFlags }

const prepare = (argv: ReadonlyArray<string>, environment: Environment = {}) =>
  prepareCommandLine(argv, environment, commands)

const words = (argv: ReadonlyArray<string>, environment: Environment = {}) => {
  const prepared = prepare(argv, environment)
  assert(prepared.ok && prepared.value.kind === "parse", JSON.stringify(prepared))
  return prepared.value.words
}

const refusal = (argv: ReadonlyArray<string>, environment: Environment = {}): string => {
  const prepared = prepare(argv, environment)
  assert(!prepared.ok, JSON.stringify(prepared))
  assert.notInclude(prepared.reason, "\n")
  return prepared.reason
}

describe("prepareCommandLine", () => {
  it("splits --flag=value at the first equals sign", () => {
    assert.deepEqual(words(["sync", "--network=a=b"]), ["sync", "--network", "a=b"])
  })

  it("gives each mention of a repeated flag its value", () => {
    assert.deepEqual(words(["sync", "--peer=a", "--peer", "b"]), [
      "sync",
      "--peer",
      "a",
      "--peer",
      "b",
    ])
  })

  it("takes several files behind one --chain", () => {
    assert.deepEqual(words(["devnet", "--chain", "a", "b", "--port", "9"]), [
      "devnet",
      "--chain",
      "a",
      "--chain",
      "b",
      "--port",
      "9",
    ])
  })

  it("puts --log-level where the library sees it", () => {
    const expected = ["sync", "--log-level", "debug", "--network", "x"]
    assert.deepEqual(words(["sync", "--network", "x", "--log-level", "debug"]), expected)
    assert.deepEqual(words(["--log-level", "debug", "sync", "--network", "x"]), expected)
  })

  it("lets help win over everything and names the command asked about", () => {
    for (const argv of [["--help"], ["-h", "--bogus"]]) {
      const prepared = prepare(argv)
      assert.deepEqual(prepared, { ok: true, value: { kind: "help", command: undefined } })
    }
    const prepared = prepare(["sync", "--start-block", "-1", "--help"])
    assert.deepEqual(prepared, { ok: true, value: { kind: "help", command: "sync" } })
  })

  it.each([
    { argv: [], says: "a command is needed" },
    { argv: ["--json"], says: "unknown flag --json" },
    { argv: ["snyc"], says: 'unknown command "snyc"' },
    { argv: ["constructor"], says: 'unknown command "constructor"' },
    { argv: ["sync", "extra"], says: 'unexpected argument "extra"' },
    { argv: ["sync", "--bogus"], says: "unknown flag --bogus; see annals sync --help" },
    { argv: ["sync", "--constructor"], says: "unknown flag --constructor" },
    { argv: ["sync", "-x"], says: "unknown flag -x" },
    { argv: ["sync", "--"], says: "unknown flag --" },
    { argv: ["sync", "--START-BLOCK", "3"], says: "is --start-block meant?" },
    { argv: ["sync", "--start-blok=3"], says: "is --start-block meant?" },
    { argv: ["sync", "--wizard"], says: "unknown flag --wizard" },
    { argv: ["sync", "--peer"], says: "--peer needs a value" },
    { argv: ["sync", "--peer="], says: "--peer needs a value" },
    { argv: ["sync", "--peer", "--json"], says: "--peer needs a value" },
    { argv: ["sync", "--peer=--json"], says: "--peer needs a value" },
    { argv: ["devnet", "--chain", "--port", "1"], says: "--chain needs a value" },
    { argv: ["sync", "--max-peers", "1", "--max-peers=2"], says: "--max-peers is given twice" },
    { argv: ["sync", "--json=perhaps"], says: '--json must be true or false, not "perhaps"' },
    { argv: ["sync", "--start-block", "-5"], says: 'a whole number of at least 0, not "-5"' },
    { argv: ["sync", "--start-block=-5"], says: 'a whole number of at least 0, not "-5"' },
    { argv: ["sync", "--start-block", "1.5"], says: 'not "1.5"' },
    { argv: ["sync", "--start-block", "0x10"], says: 'not "0x10"' },
    { argv: ["sync", "--start-block", "9007199254740993"], says: "at most 9007199254740991" },
    { argv: ["sync", "--blocks-per-assignment", "0"], says: "from 1 to 1024" },
    { argv: ["sync", "--receipts-per-request", "1025"], says: "from 1 to 1024" },
    { argv: ["sync", "--benchmark", "all"], says: "must be probe, harness or profile" },
    { argv: ["sync", "--log-level", "loud"], says: "--log-level must be all, trace" },
    { argv: ["--completions", "tcsh"], says: "--completions must be sh, bash" },
  ])("refuses %j", ({ argv, says }) => {
    assert.include(refusal(argv), says)
  })

  it("fills in from the environment what was not given", () => {
    assert.deepEqual(words(["sync"], { ANNALS_MAX_PEERS: "7" }), ["sync", "--max-peers", "7"])
    assert.deepEqual(words(["sync"], { ANNALS_JSON: "yes" }), ["sync", "--json"])
    assert.deepEqual(words(["sync"], { ANNALS_JSON: "off" }), ["sync"])
    assert.deepEqual(words(["sync"], { ANNALS_LOG_LEVEL: "debug" }), [
      "sync",
      "--log-level",
      "debug",
    ])
  })

  it("splits the variable of a repeated flag at commas", () => {
    assert.deepEqual(words(["sync"], { ANNALS_PEER: "a, b," }), [
      "sync",
      "--peer",
      "a",
      "--peer",
      "b",
    ])
  })

  it("lets the flag win over its variable, even over a bad one", () => {
    const environment = { ANNALS_MAX_PEERS: "many", ANNALS_PEER: "a", ANNALS_JSON: "true" }
    assert.deepEqual(
      words(["sync", "--max-peers", "3", "--peer", "b", "--json=false"], environment),
      ["sync", "--max-peers", "3", "--peer", "b"],
    )
  })

  it("names the variable that holds a bad value, and passes over empty and foreign ones", () => {
    assert.include(refusal(["sync"], { ANNALS_MAX_PEERS: "many" }), "ANNALS_MAX_PEERS must be")
    assert.deepEqual(words(["sync"], { ANNALS_MAX_PEERS: " ", ANNALS_SHAPE: "x" }), ["sync"])
  })

  it("never throws, and accepts only flags that it knows", () => {
    const word = fc.oneof(
      fc.constantFrom("sync", "devnet", "--", "-5", "", "=", "--network", "--peer", "--chain"),
      fc.constantFrom("--json", "--max-peers=3", "--log-level", "info", "__proto__"),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (argv) => {
        const prepared = prepare(argv)
        if (!prepared.ok || prepared.value.kind === "help") return
        const [command, ...rest] = prepared.value.words
        if (command === "--version" || command === "--completions") return
        assert(command === "sync" || command === "devnet")
        const flags = rest.filter((one) => one.startsWith("--")).map((one) => one.slice(2))
        for (const flag of flags) {
          assert(flag === "log-level" || Object.hasOwn(commands[command], flag), flag)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
