import assert from "node:assert/strict";
import * as os from "node:os";
import { test } from "node:test";
import { ERRNO, errnoName, RESTART_ERRNO } from "./errno.ts";

test("every error number's name leads back to it", () => {
  for (const [name, number] of Object.entries({ ...ERRNO, ...RESTART_ERRNO })) assert.equal(errnoName(number), name);
});

test("a number without a name is shown as a number", () => {
  assert.equal(errnoName(0), "errno 0");
  assert.equal(errnoName(4095), "errno 4095");
});

test("names and numbers agree with the system's own", () => {
  const ours = new Map<string, number>(Object.entries(ERRNO));
  for (const [name, number] of Object.entries(os.constants.errno)) {
    // EWOULDBLOCK and ENOTSUP are second names, which this table leaves out.
    if (ours.has(name)) assert.equal(ours.get(name), number, name);
    else assert.ok([...ours.values()].includes(number), `${name} is missing`);
  }
});
