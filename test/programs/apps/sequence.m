% Random numbers, linear algebra, cells and strings; a line of the log for each step.
steps = str2double (argv (){end});
rand ("twister", 20240229);
randn ("twister", 20240229);
log = fopen ("log", "w");
seen = struct ();
state = randn (30);
for step = 1:steps
  state = (state' * state + eye (30)) \ randn (30) + state / 2;
  roots_of = sort (abs (roots (state(1, 1:5))));
  word = char (97 + floor (26 * rand (1, 6)));
  seen.(word) = step;
  spectrum = abs (fft (state(:, 1)));
  fprintf (log, "step %d %.17g %.17g %s %d %.17g\n", step, sum (state(:)), sum (roots_of), word, numfields (seen), sum (spectrum));
  fflush (log);
  pause (0.004);
end
fclose (log);
result = fopen ("result", "w");
fprintf (result, "%.17g\n", state);
fprintf (result, "%s\n", strjoin (sort (fieldnames (seen)'), " "));
fclose (result);
exit (12);
