/**
 * What benchmarks and long tests run: programs of this repository's sources, bundled by esbuild into
 * files that Node can start.
 */
import { spawn } from "node:child_process"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url))

/** Where bundles lie, each kind in a folder of its own: below node_modules, so that packages are found. */
export const cacheFolder = (kind) => path.join(ROOT, "node_modules/.cache", kind)

/** For bundles with packages in them: those in the older module format ask for `require`. */
export const requireBanner = {
  js: 'import { createRequire as annalsCreateRequire } from "node:module"; const require = annalsCreateRequire(import.meta.url);',
}

/**
 * Bundles what `options` say (esbuild's, paths from the root); packages stay outside, unless they say
 * otherwise.
 */
export const bundle = async (options) =>
  build({
    absWorkingDir: ROOT,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    logLevel: "error",
    ...options,
  })

/** Flags of Node that leave a CPU profile in `folder`, where `--profile` was asked for. */
export const profileFlags = (folder) =>
  process.argv.includes("--profile") ? ["--cpu-prof", `--cpu-prof-dir=${folder}`] : []

/** Runs a program to its end, which is this process's too; one that takes longer is ended. */
export const runProgram = ({ file, flags = [], args = [], env = {}, limitMs }) => {
  const child = spawn(process.execPath, [...flags, file, ...args], {
    stdio: "inherit",
    env: { ...process.env, ...env },
  })
  const limit = setTimeout(() => child.kill("SIGKILL"), limitMs)
  child.on("exit", (code) => {
    clearTimeout(limit)
    process.exitCode = code ?? 1
  })
}
