/** The help: whole, narrow, and true to the tables of flags. */
import { assert, describe, it } from "vitest"
import { logLevels } from "../../src/cli/commandLine.ts"
import { devnetFlags } from "../../src/cli/devnetOptions.ts"
import { helpText, type HelpContents } from "../../src/cli/help.ts"
import { syncFlags } from "../../src/cli/syncOptions.ts"

const contents: HelpContents = {
  version: "1.2.3",
  description: "What it is.",
  commands: {
    sync: { description: "Fetches.", flags: syncFlags },
    devnet: { description: "Serves.", flags: devnetFlags },
  },
  logLevels,
}

describe("helpText", () => {
  it("names the commands and the version", () => {
    const text = helpText(contents)
    for (const part of ["annals 1.2.3", "What it is.", "  sync\n      Fetches.", "  devnet\n"]) {
      assert.include(text, part)
    }
  })

  it.each(["sync", "devnet"] as const)("shows every flag of %s with its default", (command) => {
    const blocks = helpText(contents, command).split("\n\n")
    for (const [name, flag] of Object.entries(contents.commands[command]!.flags)) {
      const block = blocks.find((one) => new RegExp(`^  --${name}( |\n)`).test(one))
      assert.isDefined(block, name)
      if ("default" in flag) {
        assert.include(block?.replaceAll(/\s+/g, " "), `Default: ${flag.default}.`)
      }
    }
  })

  it("stays within 80 columns and holds no control characters", () => {
    for (const command of [undefined, "sync", "devnet"]) {
      for (const line of helpText(contents, command).split("\n")) {
        assert.isAtMost(line.length, 80, line)
        assert.match(line, /^[\u0020-\u007e]*$/)
      }
    }
  })
})
