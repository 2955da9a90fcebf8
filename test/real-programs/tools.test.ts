import { programCases } from "../harness/program-cases.ts";
import { toolPrograms } from "../harness/program-list.ts";

programCases(toolPrograms());
