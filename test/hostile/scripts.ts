/**
 * What hostile peers do, as data: one script a kind of misbehaviour, with the counter that shows that
 * annals noticed. `docs/reliability.md` has the table.
 */
import type { HostileScript } from "./HostilePeer.ts"
import { conductScripts } from "./scripts/conduct.ts"
import { contentScripts } from "./scripts/content.ts"
import { framingScripts } from "./scripts/framing.ts"
import { openingScripts } from "./scripts/opening.ts"

/** All of them. */
export const hostileScripts: ReadonlyArray<HostileScript> = [
  ...openingScripts,
  ...framingScripts,
  ...conductScripts,
  ...contentScripts,
]

/** The script of this name; a name of none is the caller's mistake. */
export const hostileScript = (name: string): HostileScript => {
  const script = hostileScripts.find((each) => each.name === name)
  if (script === undefined) throw new Error(`no hostile script is called ${name}`)
  return script
}
