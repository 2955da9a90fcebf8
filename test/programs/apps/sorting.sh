# A large file is made, sorted with many temporary files in two passes of merging, and summed up; argument: lines.
mkdir temporary
awk -v lines="$1" 'BEGIN {
  for (i = 0; i < lines; i++) {
    x = (x * 69069 + 12345 + i) % 16777216
    printf "%06x %d %s\n", x, i % 1009, "line of text " i
  }
}' | tee made.txt | LC_ALL=C sort -S 256k --batch-size=8 --parallel=2 -T temporary | tee sorted.txt | perl -e '
  use strict; use warnings;
  open(my $report, ">", "report") or die;
  select($report); $| = 1; select(STDOUT);
  my ($digest, $number, %lines, %last) = (1, 0);
  while (<>) {
    my ($key, $group, $text) = /^(\S+) (\d+) (.*)$/ or die "a line of another kind: $_";
    $digest = ($digest * 31 + hex($key) + length($text)) % 1000000007;
    $lines{$group}++;
    $last{$group} = $text;
    print $report "$number $digest\n" if ++$number % 500 == 0;
  }
  print join(" ", $number, $digest, map { "$_:$lines{$_}:$last{$_}" } sort { $a <=> $b } keys %lines), "\n";'
