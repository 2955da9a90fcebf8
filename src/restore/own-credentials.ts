/** Which of the image's credentials have to be set, and whether this user may. */
import { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { Credentials } from "../image/mod.ts";
import { readStatus } from "../kernel/procfs/mod.ts";
import { toWord } from "../base/words.ts";

/** Null when the puppets have them already. Throws a CairnError (`permission`) for another user's job. */
export function credentialsToSet(
  wanted: Credentials,
  inNamespace: boolean,
): { readonly credentials: Credentials; readonly ids: boolean } | null {
  const status = readStatus(asPid(process.pid));
  if (status === null) throw new CairnError("io", "Cannot read /proc/self/status");
  const isRoot = process.geteuid?.() === 0;
  const { real, effective, saved } = wanted.uids;
  if (!isRoot && [real, effective, saved].some((uid) => uid !== status.uids.effective)) {
    throw new CairnError("permission", `Cannot restart: the job ran as user ${effective}, and this is user ${status.uids.effective}`, {
      hint: "Restart as that user, or as root",
    });
  }
  if (!isRoot) return inNamespace ? { credentials: wanted, ids: false } : null;
  const own: Credentials = {
    uids: { ...status.uids },
    gids: { ...status.gids },
    groups: [...status.groups],
    capabilities: {
      inheritable: toWord(status.capabilities.inheritable),
      permitted: toWord(status.capabilities.permitted),
      effective: toWord(status.capabilities.effective),
      bounding: toWord(status.capabilities.bounding),
      ambient: toWord(status.capabilities.ambient),
    },
    secureBits: 0,
    noNewPrivileges: status.noNewPrivileges,
  };
  return JSON.stringify(own) === JSON.stringify(wanted) ? null : { credentials: wanted, ids: true };
}
