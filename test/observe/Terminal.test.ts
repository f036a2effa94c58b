/** The writer: whole lines, the progress line below them, nothing but data on stdout. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { makeTerminal } from "../../src/observe/Terminal.ts"
import { fitColumns, toLine } from "../../src/observe/terminalText.ts"

/** Any UTF-16 text, with what matters here more often than by chance. */
const anyText = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
      fc.constantFrom("\u001b", "[", "]", "3", "m", "\u0007", "\n", "\u2028", "\u202e", "a"),
    ),
  )
  .map((parts) => parts.join(""))

const WIPE = "\r\u001b[2K"

const recorder = (isTTY: boolean, environment: Record<string, string> = {}, columns = 20) => {
  const written = { stdout: "", stderr: "", both: "" }
  const output = (name: "stdout" | "stderr") => ({
    isTTY,
    columns,
    write: (text: string) => {
      written[name] += text
      written.both += text
    },
  })
  const streams = { stdout: output("stdout"), stderr: output("stderr"), environment }
  return { written, terminal: makeTerminal(streams) }
}

describe("Terminal", () => {
  it.effect("keeps the progress line below what is logged and printed", () =>
    Effect.gen(function* () {
      const { terminal, written } = recorder(true)
      yield* terminal.progress("1/3")
      yield* terminal.log("note")
      yield* terminal.progress("2/3")
      yield* terminal.data("{}")
      yield* terminal.endProgress
      yield* terminal.log("end")
      assert.strictEqual(written.both, `${WIPE}1/3${WIPE}note\n1/3${WIPE}2/3${WIPE}{}\n2/3\nend\n`)
      assert.strictEqual(written.stdout, "{}\n")
    }),
  )

  it.effect("prints progress as plain lines where there is no terminal", () =>
    Effect.gen(function* () {
      const { terminal, written } = recorder(false)
      assert.isFalse(terminal.interactive)
      yield* terminal.progress("a line longer than twenty columns")
      yield* terminal.log("note", "error")
      yield* terminal.endProgress
      assert.strictEqual(written.stderr, "a line longer than twenty columns\nnote\n")
      assert.strictEqual(written.stdout, "")
    }),
  )

  it.effect("draws no more of a progress line than fits, so that one row is wiped", () =>
    Effect.gen(function* () {
      const { terminal, written } = recorder(true, {}, 5)
      yield* terminal.progress("123456789")
      assert.strictEqual(written.stderr, `${WIPE}1234`)
    }),
  )

  it.effect("colours warnings and errors on a terminal, unless NO_COLOR or TERM forbid it", () =>
    Effect.gen(function* () {
      const coloured = recorder(true, { NO_COLOR: "" })
      yield* coloured.terminal.log("x", "warning")
      assert.strictEqual(coloured.written.stderr, "\u001b[33mx\u001b[0m\n")
      for (const environment of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
        const plain = recorder(true, environment)
        yield* plain.terminal.log("x", "error")
        yield* plain.terminal.data("\u001b[1mbold\u001b[0m\n")
        assert.strictEqual(plain.written.both, "x\nbold\n")
      }
    }),
  )
})

describe("toLine", () => {
  it("drops sequences, controls and what reorders letters", () => {
    assert.strictEqual(
      toLine("Geth/\u001b[31mv1\u001b[0m\u0007\u202eabc\u2066\r\nx\u0000"),
      "Geth/v1abc x",
    )
    assert.strictEqual(toLine("\u001b]0;title\u0007name"), "name")
  })

  it("gives one line without control characters for any text, and changes it no further", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const line = toLine(text)
        assert.notMatch(line, /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u)
        assert.strictEqual(toLine(line), line)
      }),
    )
  })

  it("leaves plain text alone", () => {
    assert.strictEqual(toLine("12 blocks/s, peer é 世界"), "12 blocks/s, peer é 世界")
  })
})

describe("fitColumns", () => {
  it("leaves one cell free and splits no letter", () => {
    assert.strictEqual(fitColumns("abc", 4), "abc")
    assert.strictEqual(fitColumns("abcd", 4), "abc")
    assert.strictEqual(fitColumns("😀😀😀", 3), "😀😀")
    assert.strictEqual(fitColumns("abc", 0), "")
  })
})
