import { objectCase, removeMessageQueues as cleanUp } from "../harness/mod.ts";

objectCase("a checkpoint keeps pipes with the bytes in them", { fixture: "pipes" });
objectCase("a checkpoint keeps named pipes with the bytes in them", {
  fixture: "fifos",
  // One whose name was removed comes back as a pipe.
  mayDiffer: /nameless|pipe:/,
});
objectCase("a checkpoint keeps eventfds, signalfds and timerfds", { fixture: "events" });
objectCase("a checkpoint keeps what an epoll watches and for what", { fixture: "epoll" });
objectCase("a checkpoint keeps an epoll's watch on a file whose number is closed or used again", {
  fixture: "epoll-lost-number",
  mayBeRefused: /epoll/,
});
objectCase("a checkpoint keeps memfds, their seals and their mappings", { fixture: "memfds" });
objectCase("a checkpoint keeps POSIX message queues, their messages in order, and who waits for one", {
  fixture: "message-queues",
  // Opened by way of /proc they have O_LARGEFILE, which changes nothing; a removed one has another name.
  mayDiffer: /descriptor \d+ -> \/cairn-/,
  flags: ["-lrt"],
  cleanUp,
});
