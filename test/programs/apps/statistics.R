# Random numbers, linear algebra, text, an environment that grows; every tenth step in processes that R forks.
steps <- as.integer(commandArgs(trailingOnly = TRUE)[1])
set.seed(20240229)
log <- file("log", "w")
seen <- new.env()
state <- matrix(rnorm(900), 30)
for (step in seq_len(steps)) {
  state <- solve(crossprod(state) + diag(30), matrix(rnorm(900), 30)) + state / 2
  fit <- lm(y ~ x, data.frame(x = seq_len(30), y = state[, 1]))
  word <- paste(sample(letters, 6, replace = TRUE), collapse = "")
  assign(word, step, envir = seen)
  parts <- if (step %% 10 == 0) unlist(parallel::mclapply(1:3, function(part) sum(sort(sin(part * state))), mc.cores = 3)) else 0
  cat(sprintf("step %d %.17g %.17g %s %d %.17g\n", step, sum(state), coef(fit)[2], word, length(ls(seen)), sum(parts)), file = log)
  flush(log)
  Sys.sleep(0.005)
}
close(log)
saveRDS(list(state = state, words = sort(ls(seen))), "result.rds", compress = FALSE)
quit(status = 11)
