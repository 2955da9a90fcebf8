import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { encodeName, nameToBuffer, nameToCString, nameToText, namesEqual } from "./names.ts";
import { SeededRandom } from "./random.ts";

const { seed } = new SeededRandom();

test("any bytes come back from a name as they were", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        const name = encodeName(bytes);
        assert.deepEqual(nameToBuffer(JSON.parse(JSON.stringify(name)) as typeof name), Buffer.from(bytes));
        assert.ok(namesEqual(name, encodeName(bytes)));
      },
    ),
    { seed },
  );
});

test("a byte order mark at the head of a name is kept", () => {
  assert.deepEqual(nameToBuffer(encodeName(Buffer.from([0xef, 0xbb, 0xbf, 0x61]))), Buffer.from([0xef, 0xbb, 0xbf, 0x61]));
});

test("a name is shown as one line without anything a terminal would act on", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        assert.doesNotMatch(nameToText(encodeName(bytes)), /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      },
    ),
    { seed },
  );
  assert.equal(nameToText("a\\b\n\t\x1b[31m\u202eé"), "a\\\\b\\n\\t\\x1b[31m\\u{202e}é");
  assert.equal(nameToText(encodeName(Buffer.from([0x61, 0x0a, 0x80, 0xff]))), "a\\n\\x80\\xff");
});

test("a name for a system call ends in NUL", () => {
  assert.deepEqual(nameToCString("/é"), Buffer.from([0x2f, 0xc3, 0xa9, 0]));
});
