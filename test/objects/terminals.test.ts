import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps pseudo-terminals with modes, size, unread bytes and foreground group", { fixture: "ptys" });
objectCase("a checkpoint keeps a line that is still being typed", { fixture: "pty-half-line" });
objectCase("a checkpoint keeps ends of file, full terminals, packets and what a closed terminal said last", { fixture: "pty-edges" });
