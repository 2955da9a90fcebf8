import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps io_urings that have nothing under way", { fixture: "rings" });
