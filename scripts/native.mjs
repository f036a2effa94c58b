/**
 * Runs at `npm ci` and `npm install`: compiles `native/`, keccak and RLPx frames by the processor's
 * own instructions, to `build/Release/annals.node`. Where there is no compiler annals works without it, by
 * WebAssembly and libraries, for more processor time: what fails here fails nothing, in one line.
 */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
/** Where npm keeps its own copy. */
const nodeGyp = process.env["npm_config_node_gyp"]
const [program, args] = nodeGyp === undefined ? ["node-gyp", []] : [process.execPath, [nodeGyp]]
const { status, stderr, error } = spawnSync(program, [...args, "rebuild", "--loglevel=error"], {
  cwd: root,
  stdio: ["ignore", "ignore", "pipe"],
  encoding: "utf8",
})
if (status !== 0) {
  const lines = (error?.message ?? stderr).split("\n")
  const line = lines.find((each) => each.trim() !== "") ?? ""
  console.error(`annals: native/ was not compiled, WebAssembly will do instead: ${line}`)
}
