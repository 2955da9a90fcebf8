import { programCases } from "../harness/program-cases.ts";
import { languagePrograms } from "../harness/program-list.ts";

programCases(languagePrograms());
