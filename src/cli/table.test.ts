import assert from "node:assert/strict";
import { test } from "node:test";
import { displayWidth, formatTable } from "./table.ts";

test("columns line up, numbers to the right", () => {
  const text = formatTable(
    [{ title: "JOB" }, { title: "SIZE", align: "right" }, { title: "COMMAND" }],
    [
      ["lu", "6.8 MiB", "./solver"],
      ["long-name", "12 KiB", "x"],
    ],
  );
  assert.equal(text, ["JOB           SIZE  COMMAND", "lu         6.8 MiB  ./solver", "long-name   12 KiB  x", ""].join("\n"));
});

test("the flexible column is cut at the terminal's width, and only there", () => {
  const columns = [{ title: "A" }, { title: "COMMAND", flexible: true }];
  const rows = [["abc", "a command that is too long"]];
  assert.equal(formatTable(columns, rows, { maxWidth: 20 }), "A    COMMAND\nabc  a command that…\n");
  assert.match(formatTable(columns, rows), /too long/);
});

test("colours and wide characters do not move the columns", () => {
  assert.equal(displayWidth("\u001b[32mok\u001b[39m"), 2);
  assert.equal(displayWidth("漢字"), 4);
  assert.equal(displayWidth("e\u0301"), 1);
  const text = formatTable(
    [{ title: "N" }, { title: "X" }],
    [
      ["漢", "1"],
      ["\u001b[32ma\u001b[39m", "2"],
    ],
  );
  assert.deepEqual(text.split("\n").slice(1, 3), ["漢  1", "\u001b[32ma\u001b[39m   2"]);
});
