/**
 * Where the built programs of threads are. Pure but for a look at the disk.
 */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

/**
 * The path of a built thread program, named by its place in `dist` (`write/storeThread.js`), as seen
 * from the bundle, from one of its chunks, or from the source; undefined where it was not built.
 */
export const threadProgram = (name: string): string | undefined =>
  [`./${name}`, `../${name}`, `../../dist/${name}`]
    .map((place) => fileURLToPath(new URL(place, import.meta.url)))
    .find((file) => existsSync(file))
